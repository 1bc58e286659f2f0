"""Composes whole-slide images from pictures of real tissue, for machines to which no slide can be brought.

tissue_stain.py     pictures <-> amounts of stain
tissue_texture.py   two small pictures -> large seamless textures, normal and tumour
tissue_layout.py    where tissue and tumour lie; the annotation
tissue_pixels.py    layout + textures -> pyramidal TIFF

These are not pathology: the tissue is real, its arrangement is made up. Both textures have the same distribution of
stain, and each patient has an own staining, so that a classifier has to learn shapes and not a colour.

  out_dir/slides.csv                 slide (file name), patient_id, slide_num
  out_dir/slides/P01-1.tiff          tiled pyramidal JPEG TIFF, 0.25 micrometres per pixel
  out_dir/annotations/P01-1.geojson  of every other slide, as QuPath writes it
  out_dir/annotations/regions.csv    of the others: slide, label, path (JSON)
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import csv
import dataclasses
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing.synchronize import Event
from pathlib import Path

import shapely
import tifffile

from beam_pipelines.slides.output import whole_file
from tfcass.demo.tissue_layout import Layout, lay_out
from tfcass.demo.tissue_pixels import write_slide
from tfcass.demo.tissue_texture import textures
from tfcass.errors import OptionError, TfcassError

MIN_SIZE, MAX_SIZE = 2_048, 32_768  # Below, no focus has room; above, the first reduced level would want over 1 GB.
_SIGNATURE = "tfcass demo slide"
_RECIPE = 1  # Raise it when the same seed begins to make other pixels: older files are then made again.
_stop: Event | None = None  # In a worker: set when the parent wants it to end.


@dataclasses.dataclass(frozen=True)
class SlideInfo:
    """One composed slide.

    Attributes:
      path: The TIFF.
      annotation: The file that holds its regions; several slides share a CSV.
      patient_id, slide_num: As in slides.csv.
      size_l0: Side in pixels.
      foci: Number of tumour foci.
      reused: True when an earlier run had finished it.
      seconds: Time spent on its pixels.
    """

    path: Path
    annotation: Path
    patient_id: str
    slide_num: int
    size_l0: int
    foci: int
    reused: bool
    seconds: float


def compose_slides(
    out_dir: str | os.PathLike[str],
    *,
    patients: int = 8,
    slides_per_patient: Sequence[int] = (2, 1),
    size: int = 10_240,
    seed: int = 0,
    processes: int = 2,
    progress: Callable[[int, int, SlideInfo], None] | None = None,
) -> list[SlideInfo]:
    """Composes slides, their annotations and slides.csv; finished slides of an earlier run with the same settings are
    kept.

    Args:
      out_dir: Made if need be.
      patients: Number of patients, at least 1.
      slides_per_patient: Taken in turn: (2, 1) gives the first patient two slides, the second one, the third two again.
      size: Side of each slide in level-0 pixels; rounded up to whole file tiles of 256 pixels.
      seed: Same seed, same slides, byte for byte.
      processes: How many slides are made at once, each taking up to 0.5 GB at the default size and 1.3 GB at the
        largest.
      progress: Called after each slide with (slides done, slides in all, the slide).
    Returns:
      The slides, by patient and number.
    Raises:
      OptionError: a setting is out of range.
      OutputError: the disk is full or `out_dir` cannot be written. Finished slides stay, and no half slide is left.
    """
    jobs = _jobs(Path(out_dir), patients, slides_per_patient, size, seed)
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise OptionError(f"processes={processes!r} is not a positive whole number")
    layouts = {job: job.layout() for job in jobs}
    _write_annotations(layouts)
    slides = [(job.path.name, job.patient_id, job.slide_num) for job in jobs]
    _write_csv(Path(out_dir) / "slides.csv", ("slide", "patient_id", "slide_num"), slides)
    done: dict[_Job, SlideInfo] = {}
    with contextlib.closing(
        _run(jobs, min(processes, len(jobs)))
    ) as results:  # Closed: an error in `progress` ends the workers too.
        for job, reused, seconds in results:
            foci = layouts[job].foci
            done[job] = SlideInfo(
                job.path, job.annotation, job.patient_id, job.slide_num, job.size, foci, reused, seconds
            )
            if progress is not None:
                progress(len(done), len(jobs), done[job])
    return [done[job] for job in jobs]


@dataclasses.dataclass(frozen=True)
class _Job:
    """What a worker needs to make one slide."""

    path: Path
    annotation: Path
    patient: int
    slide_num: int
    size: int
    seed: int

    @property
    def patient_id(self) -> str:
        return f"P{self.patient:02d}"

    @property
    def description(self) -> str:
        """Kept in the file: a later run knows by it whether this is the slide that it would make."""
        made_of = f"seed={self.seed} patient={self.patient} slide={self.slide_num} size={self.size}"
        return f"{_SIGNATURE} recipe={_RECIPE} {made_of}"

    def layout(self) -> Layout:
        return lay_out(self.seed, self.patient, self.slide_num, self.size)


def _jobs(out_dir: Path, patients: int, slides_per_patient: Sequence[int], size: int, seed: int) -> list[_Job]:
    for name, value, low, high in (
        ("patients", patients, 1, 10_000),
        ("size", size, MIN_SIZE, MAX_SIZE),
        ("seed", seed, 0, 2**32 - 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise OptionError(f"{name}={value!r} is not a whole number in [{low}, {high}]")
    if not slides_per_patient or not all(isinstance(n, int) and 1 <= n <= 1_000 for n in slides_per_patient):
        raise OptionError(f"slides_per_patient={slides_per_patient!r} is not a sequence of whole numbers in [1, 1000]")
    size = -(-size // 256) * 256
    jobs: list[_Job] = []
    for patient in range(1, patients + 1):
        for slide_num in range(1, slides_per_patient[(patient - 1) % len(slides_per_patient)] + 1):
            name = f"P{patient:02d}-{slide_num}"
            annotation = "regions.csv" if len(jobs) % 2 else f"{name}.geojson"
            path = out_dir / "slides" / f"{name}.tiff"
            jobs.append(_Job(path, out_dir / "annotations" / annotation, patient, slide_num, size, seed))
    return jobs


def _run(jobs: list[_Job], processes: int) -> Iterator[tuple[_Job, bool, float]]:
    """Yields (job, reused, seconds) as slides get ready."""
    if processes == 1:
        for job in jobs:
            yield job, *_compose(job)
        return
    # Spawned, not forked: the parent may hold TensorFlow's threads.
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = concurrent.futures.ProcessPoolExecutor(processes, context, _start_worker, (stop,))
    try:
        futures = {pool.submit(_compose, job): job for job in jobs}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], *future.result()
    except concurrent.futures.BrokenExecutor as error:
        raise TfcassError(
            "a process that composed a slide was killed, perhaps for want of memory; try processes=1"
        ) from error
    finally:
        # After an error or Ctrl-C: workers leave at their next block and remove their half slide.
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(stop: Event) -> None:
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides.


class _Stopped(Exception):
    """The parent asked for an end."""


def _keep_going() -> None:
    if _stop is not None and _stop.is_set():
        raise _Stopped


def _compose(job: _Job) -> tuple[bool, float]:
    """Makes one slide unless it is there; returns (whether it was, seconds)."""
    started = time.monotonic()
    found = _description(job.path)
    if found == job.description:
        return True, time.monotonic() - started
    if found is not None and not found.startswith(_SIGNATURE):
        raise OptionError(f"{str(job.path)!r} is there and was not composed by tfcass; choose another folder")
    with whole_file(job.path) as temporary:
        write_slide(temporary, job.layout(), textures(job.seed), job.description, _keep_going)
    return False, time.monotonic() - started


def _description(path: Path) -> str | None:
    """The description inside a TIFF, "" when the file has none, None when there is no file."""
    if not path.exists():
        return None
    try:
        with tifffile.TiffFile(path) as tiff:
            return tiff.pages.first.description
    except (OSError, ValueError, IndexError):  # TiffFileError is a ValueError.
        return ""


def _write_annotations(layouts: Mapping[_Job, Layout]) -> None:
    rows: list[tuple[str, str, str]] = []
    for job, layout in layouts.items():
        if job.annotation.suffix == ".geojson":
            with whole_file(job.annotation) as temporary:
                temporary.write_text(json.dumps(_geojson(layout)), encoding="utf-8")
        else:
            rows += [(job.path.name, label, json.dumps(_rings(polygon))) for label, polygon in layout.regions]
    if rows:
        _write_csv(job.annotation.parent / "regions.csv", ("slide", "label", "path"), rows)


def _geojson(layout: Layout) -> dict[str, object]:
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": _rings(polygon)},
            "properties": {"objectType": "annotation", "classification": {"name": label.capitalize()}},
        }
        for label, polygon in layout.regions
    ]
    return {"type": "FeatureCollection", "features": features}


def _rings(polygon: shapely.Polygon) -> list[list[list[float]]]:
    rings = (polygon.exterior, *polygon.interiors)
    return [[[round(x, 1), round(y, 1)] for x, y in ring.coords] for ring in rings]


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows((header, *rows))
