"""tiling, rerun, tiling_memory: what the pipeline costs on top of the work itself, what a second run costs, and what
memory a worker takes on the largest slides."""

import dataclasses
import json
import multiprocessing
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.conditions import conditions
from benchmarks.harness import Bench, Benchmark, BenchmarkError, Goal, Result, Sample, alternate, say

_PROCESSES = 2
_ROOT = Path(__file__).resolve().parents[1]
_GIB = 2**30
_GROUP = 32  # Patches that a process of the hand-written loop takes at a time.


@dataclasses.dataclass(frozen=True)
class Slides:
    """Composed slides with annotations.

    Attributes:
      folder: As tfcass.demo.slides makes it.
      words: What they are, for people.
    """

    folder: Path
    words: str

    def settings(self) -> dict[str, Any]:
        """Of a TilingRun."""
        return {
            "slides": (str(self.folder / "slides"),),
            "annotations": (str(self.folder / "annotations" / "*"),),
            "slide_table": str(self.folder / "slides.csv"),
        }


@dataclasses.dataclass(frozen=True)
class Cut:
    """One run.

    Attributes:
      patches: Cut and encoded.
      seconds: From the start of its processes to their end.
    """

    patches: int
    seconds: float

    @property
    def patches_per_s(self) -> float:
        return self.patches / self.seconds


def tiling(bench: Bench) -> Sequence[Result]:
    notes = conditions()
    server = bench.servers.one()
    slides = _compose(bench, patients=2, size=16_384)
    keyspace = "bench_tiling"
    pairs = alternate(
        lambda: _pipeline(bench, server.cluster, slides, keyspace),
        lambda: _by_hand(slides),
        rounds=bench.rounds,
        name="tiling",
        show=lambda ours, hand: f"pipeline {ours.patches_per_s:,.0f} patches/s, by hand {hand.patches_per_s:,.0f}",
    )
    return [
        Result(
            name="tiling",
            ours=f"tile_slides, local runner, {_PROCESSES} worker processes, rows written to Cassandra",
            against=f"{_PROCESSES} processes that plan, read, measure and encode the same patches, and keep none",
            unit="patches/s",
            goal=Goal(0.85),
            samples=[Sample(a.patches_per_s, b.patches_per_s) for a, b in pairs],
            conditions=notes
            | {
                "server": server.words,
                "data": slides.words,
                "measured": "from the start of the worker processes to their end, Python's imports and planning "
                "included; the pipeline shares its cores with the server",
            },
            detail={"patches": pairs[-1][0].patches},
            quick=bench.quick,
        )
    ]


def rerun(bench: Bench) -> Sequence[Result]:
    notes = conditions()
    server = bench.servers.one()
    # Enough of it that starting Python, which both sides do, is a small part of the first run.
    slides = _compose(bench, patients=8, size=16_384)
    settings = {**slides.settings(), "patch_level": "0"}
    samples = []
    for number in range(1, bench.rounds + 1):
        keyspace = f"bench_rerun_{time.time_ns()}"  # Of its own: dropping and making one again confuses sessions.
        first, again = (_command(bench, server.cluster, settings, keyspace) for _ in range(2))
        with server.cluster.session() as session:
            session.execute(f"DROP KEYSPACE {keyspace}")
        shutil.rmtree(bench.scratch / keyspace, ignore_errors=True)
        samples.append(Sample(again.seconds, first.seconds))
        say(
            f"rerun: round {number} of {bench.rounds}: {first.patches:,} patches in {first.seconds:.1f} s, then "
            f"{again.seconds:.1f} s"
        )
    return [
        Result(
            name="rerun",
            ours="tile_slides over finished slides",
            against="the same command before it, into empty tables",
            unit="s",
            goal=Goal(0.05, at_least=False),
            samples=samples,
            conditions=notes
            | {
                "server": server.words,
                "data": slides.words,
                "measured": "the whole command, from its start to its exit",
            },
            quick=bench.quick,
        )
    ]


def tiling_memory(bench: Bench) -> Sequence[Result]:
    notes = conditions()
    server = bench.servers.one()
    side = 20_480 if bench.quick else 102_400
    folder = _sparse(bench, side)
    samples = []
    for number in range(1, bench.rounds + 1):
        keyspace = f"bench_memory_{time.time_ns()}"
        peak = _peak_of_workers(bench, server.cluster, folder, keyspace)
        with server.cluster.session() as session:
            session.execute(f"DROP KEYSPACE {keyspace}")
        shutil.rmtree(bench.scratch / keyspace, ignore_errors=True)
        samples.append(Sample(peak / _GIB, 1.5))
        say(f"tiling_memory: round {number} of {bench.rounds}: {peak / _GIB:.2f} GiB")
    return [
        Result(
            name="tiling_memory",
            ours="peak resident memory of the larger worker process",
            against="1.5 GiB",
            unit="GiB",
            goal=Goal(1.0, at_least=False),
            samples=samples,
            conditions=notes
            | {
                "server": server.words,
                "data": f"a sparse MIRAX slide of {side:,} x {side:,} pixels, 0.5% of it scanned",
            },
            quick=bench.quick,
        )
    ]


def _compose(bench: Bench, *, patients: int, size: int) -> Slides:
    from tfcass.demo.slides import compose_slides

    size = 4_096 if bench.quick else size
    folder = bench.scratch / f"slides_{size}"
    say(f"composing {patients} slides of {size:,} x {size:,} pixels")
    compose_slides(folder, patients=patients, slides_per_patient=(1,), size=size, processes=_PROCESSES)
    return Slides(folder, f"{patients} composed TIFF slides (JPEG, pyramids) of {size:,} x {size:,} pixels")


def _run_settings(bench: Bench, cluster: Any, slides: Slides, keyspace: str) -> dict[str, Any]:
    return {
        **slides.settings(),
        "output": str(bench.scratch / keyspace),
        "keyspace": keyspace,
        "cluster": cluster,
        "workers": _PROCESSES,
        "progress": False,
        "report": False,
    }


def _pipeline(bench: Bench, cluster: Any, slides: Slides, keyspace: str) -> Cut:
    from beam_pipelines.tile_slides import run
    from beam_pipelines.tiling_run import TilingRun

    summary = run(TilingRun(**_run_settings(bench, cluster, slides, keyspace), overwrite=True))
    if summary.exit_code:
        raise BenchmarkError(f"the pipeline did not finish: {summary.complaints()[0]}")
    return Cut(summary.total("written"), summary.seconds["tile"])


def _by_hand(slides: Slides) -> Cut:
    """What somebody would write without Beam: a pool of processes, slides planned by it, patches in groups."""
    from beam_pipelines.slide_list import list_slides
    from beam_pipelines.tiling_run import TilingRun

    tasks = list_slides(TilingRun(**slides.settings(), output="unused", dry_run=True)).tasks
    started_s = time.monotonic()
    # Spawned, as the pipeline's workers are: each imports what it needs.
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        plans = pool.map(_plan, tasks, chunksize=1)
        groups = [
            (path, locations[first : first + _GROUP])
            for path, locations in plans
            for first in range(0, len(locations), _GROUP)
        ]
        patches = sum(pool.imap_unordered(_cut, groups))
    return Cut(patches, time.monotonic() - started_s)


def _plan(task: Any) -> tuple[str, Sequence[Any]]:
    from beam_pipelines.slides.plan import plan_slide
    from beam_pipelines.slides.tiles import TilingOptions

    return task.ref.path, plan_slide(task.ref, task.regions, TilingOptions()).locations


_open_slides: dict[str, Any] = {}  # Of a process of the pool.


def _cut(group: tuple[str, Sequence[Any]]) -> int:
    from beam_pipelines.slides.open import open_slide
    from beam_pipelines.slides.plan import cut_and_judge
    from beam_pipelines.slides.tiles import TilingOptions

    path, locations = group
    if path not in _open_slides:
        _open_slides[path] = open_slide(path)
    options = TilingOptions()
    return sum(cut_and_judge(_open_slides[path], location, options).data is not None for location in locations)


def _arguments(bench: Bench, cluster: Any, keyspace: str, settings: dict[str, Any]) -> list[str]:
    words = [sys.executable, "-m", "beam_pipelines.tile_slides", "--json", "--no-progress", "--no-report"]
    for name, values in settings.items():
        flag = f"--{name.replace('_', '-')}"
        words += [f"{flag}={value}" for value in ([values] if isinstance(values, str) else values)]
    words += [f"--keyspace={keyspace}", f"--output={bench.scratch / keyspace}", f"--workers={_PROCESSES}"]
    return [*words, f"--host={cluster.contact_points[0]}", f"--port={cluster.port}"]


def _command(bench: Bench, cluster: Any, settings: dict[str, Any], keyspace: str) -> Cut:
    command = _arguments(bench, cluster, keyspace, settings)
    started_s = time.monotonic()
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    seconds = time.monotonic() - started_s
    if done.returncode:
        raise BenchmarkError(f"tile_slides ended with {done.returncode}: {done.stderr.strip()}")
    return Cut(json.loads(done.stdout)["patches"]["kept"], seconds)


def _sparse(bench: Bench, side: int) -> Path:
    """A MIRAX slide with a disc of tissue that takes half a percent of the plane; all of it annotated."""
    from tests.support.drawn_slides import Disc, DrawnSlide
    from tests.support.mirax_files import write_mirax

    folder = bench.scratch / f"sparse_{side}"
    if not folder.exists():
        (folder / "slides").mkdir(parents=True)
        radius = 0.04 * side
        disc = Disc(0.6 * side, 0.4 * side, radius)
        drawn = DrawnSlide(folder / "slides" / "big_0.mrxs", side, disc, Disc(disc.x, disc.y, radius / 3))

        def photo(x: int, y: int, width: int, height: int) -> Any:
            far = max(abs(x + width / 2 - disc.x), abs(y + height / 2 - disc.y)) > radius + width
            return None if far else drawn.paint(x, y, width, height)

        say(f"writing a MIRAX slide of {side:,} x {side:,} pixels")
        write_mirax(drawn.path, photo, images=(side // 512, side // 512), image_px=512, levels=8, quality=85)
        (folder / "paths.csv").write_text(f'slide,label,path\nbig_0.mrxs,normal,"{json.dumps(disc.ring())}"\n')
    return folder


def _peak_of_workers(bench: Bench, cluster: Any, folder: Path, keyspace: str) -> int:
    """Bytes; the kernel keeps each process's highest mark, so that looking now and then misses little of the growth."""
    settings = {"slides": str(folder / "slides"), "annotations": str(folder / "paths.csv")}
    command = _arguments(bench, cluster, keyspace, settings)
    peak = 0
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None:
            for child in _children(process.pid):
                peak = max(peak, child)
            time.sleep(0.05)
        said = process.stdout.read()
    if process.returncode or not peak:
        raise BenchmarkError(f"tile_slides ended with {process.returncode}: {said.strip()}")
    return peak


def _children(pid: int) -> list[int]:
    found = []
    try:
        for child in psutil.Process(pid).children(recursive=True):
            status = Path(f"/proc/{child.pid}/status").read_text()
            marks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
            found += [int(mark) * 1024 for mark in marks]
    except (psutil.Error, OSError):  # It has just ended.
        pass
    return found


TILING = Benchmark("tiling", tiling, "patches/s of the local runner, 2 processes : a hand-written loop without Beam")
RERUN = Benchmark("rerun", rerun, "time of a second run over finished slides : the first")
MEMORY = Benchmark("tiling_memory", tiling_memory, "peak memory of a worker on a sparse slide of 102,400 px : 1.5 GiB")
