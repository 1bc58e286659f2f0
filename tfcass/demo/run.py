"""Runs the demo: an empty folder in, out/report.html out. What is done already is skipped."""

import contextlib
import datetime
import os
import signal
from collections.abc import Iterator

from rich.console import Console

from beam_pipelines.drawing.wording import count, duration, percent
from tfcass.demo.console import ConsoleDisplay
from tfcass.demo.plan import Plan
from tfcass.demo.services import DemoCluster
from tfcass.demo.settings import DemoSettings, Paths
from tfcass.demo.stages import Done, run_stages
from tfcass.demo.state import State, locked
from tfcass.demo.workplace import read_json


def run_demo(settings: DemoSettings, console: Console) -> list[Done]:
    """Brings all stages to their end and returns what they did.

    However it ends, the programs that it started are ended and its Cassandra is stopped (unless it is to be kept): on
    Ctrl-C, when the terminal closes, and when asked to terminate.

    Raises:
      TfcassError: a stage failed; the message holds the end of its log.
      KeyboardInterrupt: it was interrupted. The next run continues there.
    """
    # It is this process that stops its Cassandra at the end: that connections are lost then is no news.
    os.environ.setdefault("TFCASS_DRIVER_LOG", "off")
    paths = Paths(settings.out)
    cluster = DemoCluster(paths.cluster, nodes=settings.nodes, keep=settings.keep)
    with (
        _ended_like_ctrl_c(),
        locked(settings.out),
        cluster.stopped_at_end(lambda text: console.print(text, style="dim")),
    ):
        since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        stages = Plan(settings, cluster, since=since).stages()
        return run_stages(stages, State(paths.state), ConsoleDisplay(console))


def summary(done: list[Done], settings: DemoSettings) -> str:
    """The main figures and where the report is."""
    paths = Paths(settings.out)
    result = {entry.stage.name: entry.record.result for entry in done}
    speed = read_json(paths.speed)
    seconds = sum(entry.record.seconds for entry in done if not entry.earlier)
    lines = [
        ("report", str(paths.report)),
        ("patches", f"{count(result['tile']['rows'])} of {result['slides']['slides']} slides"),
        (
            "validation",
            f"{percent(result['train']['accuracy'])} (majority class {percent(result['train']['majority'])})",
        ),
        ("test", f"{percent(speed['accuracy'])} (majority class {percent(speed['majority'])})"),
        ("random reads", f"{speed['read_rows_per_s']:,.0f} rows/s through the op"),
        ("this run", duration(seconds)),
    ]
    if settings.keep:
        lines.append(("Cassandra", f"left running; stop it with TFCASS_HOME={paths.cluster} tfcass dev down"))
    return "\n".join(f"{name:13} {text}" for name, text in lines)


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Makes a request to end, and the closing of the terminal, the same as Ctrl-C: nothing that was started stays."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
