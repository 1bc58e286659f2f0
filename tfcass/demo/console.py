"""Shows the demo on a terminal: a line for each stage, and a spinner with the newest line of its log while it runs."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.spinner import Spinner
from rich.text import Text

from beam_pipelines.drawing.wording import duration
from tfcass.demo.stages import Stage
from tfcass.demo.state import Record

if TYPE_CHECKING:
    from tfcass.demo.slides import SlideInfo

_TITLE_WIDTH = 11


class ConsoleDisplay:
    """Where it is no terminal (a log of a CI run), lines are plain and nothing moves."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def started(self, stage: Stage) -> Callable[[str], None]:
        if not self._console.is_terminal:
            self._console.print(f"[ ] {stage.title:{_TITLE_WIDTH}} {stage.purpose}", highlight=False, markup=False)
            return lambda line: None
        row = _Running(stage)
        self._live = Live(row, console=self._console, transient=True, refresh_per_second=8)
        self._live.start()
        return row.show

    def finished(self, stage: Stage, record: Record) -> None:
        self._end_live()
        self._line("✓", "green", stage, record, "")

    def skipped(self, stage: Stage, record: Record) -> None:
        self._line("✓", "dim", stage, record, " (done by an earlier run)")

    def failed(self, stage: Stage) -> None:
        self._end_live()
        self._console.print(Text.assemble(("✗ ", "red"), f"{stage.title:{_TITLE_WIDTH}}", " was not finished"))

    def _line(self, sign: str, style: str, stage: Stage, record: Record, note: str) -> None:
        took = f"{duration(record.seconds):>12}"
        summary = record.result.get("summary", "")
        self._console.print(
            Text.assemble(
                (f"{sign} ", style), f"{stage.title:{_TITLE_WIDTH}}", (took, "cyan"), f"  {summary}", (note, "dim")
            ),
            soft_wrap=True,
        )

    def _end_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


class _Running:
    """Spinner, time so far, and the newest line, cut to the width of the terminal."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._start = time.monotonic()
        self._line = stage.purpose
        self._spinner = Spinner("dots", style="cyan")

    def show(self, line: str) -> None:
        self._line = line

    def __rich__(self) -> Text:
        # One text and no table: a long line must be cut, and not take the room of what stands before it.
        now = time.monotonic()
        row = Text.assemble(
            self._spinner.render(now),
            f" {self._stage.title:{_TITLE_WIDTH}}",
            (f"{duration(now - self._start):>12}", "cyan"),
            (f"  {self._line}", "dim"),
        )
        row.no_wrap, row.overflow = True, "ellipsis"
        return row


@contextlib.contextmanager
def slide_progress() -> "Iterator[Callable[[int, int, SlideInfo], None]]":
    """Shows on stderr how many slides are composed: a bar on a terminal, a line a slide elsewhere."""
    console = Console(stderr=True)

    def line(done: int, of: int, slide: "SlideInfo") -> None:
        how = "was there" if slide.reused else f"composed in {duration(slide.seconds)}"
        console.print(f"{done} of {of}: {slide.path.name} {how}", highlight=False, markup=False)

    if not console.is_terminal:
        yield line
        return
    columns = (
        TextColumn("Composing slides"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, of, slide: progress.update(task, completed=done, total=of, description=slide.path.name)
