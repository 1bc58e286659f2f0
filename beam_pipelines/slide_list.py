"""Which slides there are, whose they are, and what is annotated on them: everything known before a slide is opened."""

import csv
import dataclasses
import glob
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from beam_pipelines import files
from beam_pipelines.slides.annotations import AnnotationProblem, Annotations, Region, read_annotations, slide_key
from beam_pipelines.slides.classes import ClassMap
from beam_pipelines.slides.mpp_table import read_mpp_table
from beam_pipelines.slides.tiles import SlideRef
from beam_pipelines.tiling_run import TilingRun
from tfcass.errors import OptionError

_TABLE_COLUMNS = ("slide", "patient_id", "slide_num")


@dataclasses.dataclass(frozen=True)
class SlideTask:
    """A slide to tile.

    Attributes:
      ref: Path, patient and slide number.
      regions: Annotated areas, in level-0 pixels; may be empty.
      notes: What a user may want to know of it.
    """

    ref: SlideRef
    regions: tuple[Region, ...]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """File name: unique among the slides of a run."""
        return Path(self.ref.path).name


@dataclasses.dataclass(frozen=True)
class SlideList:
    """The input of a run.

    Attributes:
      tasks: The slides, by file name.
      problems: What is wrong with the annotation files.
      absent_slides: Slides that annotations, tables or tissue masks name and no pattern matches.
    """

    tasks: tuple[SlideTask, ...]
    problems: tuple[AnnotationProblem, ...]
    absent_slides: tuple[str, ...]


def list_slides(run: TilingRun) -> SlideList:
    """Matches files, reads annotations and the slide table. Opens no slide.

    Raises:
      OptionError: A pattern matches nothing, two slides cannot be told apart, or the slide table cannot be used.
    """
    paths = _match_slides(run.slides)
    annotations = read_all_annotations(run.annotations, run.classes, run.annotation_frame)
    table = {} if run.slide_table is None else read_slide_table(run.slide_table)
    mpps = {} if run.mpp_table is None else read_mpp_table(run.mpp_table)
    masks = {_mask_key(path): path for path in match_files(run.tissue_masks, "tissue-masks")}
    tasks = []
    for path in paths:
        patient_id, slide_num, notes = _identify(path, run, table)
        ref = SlideRef(
            path, patient_id, slide_num, mpp=mpps.get(slide_key(path)), tissue_mask=masks.get(slide_key(path))
        )
        tasks.append(SlideTask(ref, annotations.of(path), notes))
    _refuse_twins(tasks)
    keys = {slide_key(path) for path in paths}
    absent = sorted({*annotations.regions_by_slide, *table, *mpps, *masks} - keys)
    return SlideList(tuple(tasks[: run.limit]), annotations.problems, tuple(absent))


def read_all_annotations(patterns: Iterable[str], classes: ClassMap, frame: str) -> Annotations:
    """Reads the annotation files that match; remote ones are copied here first, being small.

    Raises:
      OptionError: A pattern matches nothing.
    """
    paths = match_files(patterns, "annotations")
    with tempfile.TemporaryDirectory(prefix="tfcass-annotations-") as folder:
        remote = {}
        for number, path in enumerate(path for path in paths if files.is_url(path)):
            copy = Path(folder) / str(number) / os.path.basename(path)
            files.write_bytes(str(copy), files.read_bytes(path))
            remote[str(copy)] = path
        local = {path: copy for copy, path in remote.items()}
        found = read_annotations([local.get(path, path) for path in paths], classes, frame=frame)
    problems = tuple(
        dataclasses.replace(problem, file=remote.get(problem.file, problem.file)) for problem in found.problems
    )
    return dataclasses.replace(found, problems=problems)


def _mask_key(path: str) -> str:
    """The slide that a tissue mask is of: S1.png and S1_tissue.png are S1's."""
    return slide_key(os.path.splitext(os.path.basename(path))[0].removesuffix("_tissue"))


def read_slide_table(path: str | os.PathLike[str]) -> dict[str, tuple[str, int]]:
    """Reads a CSV with columns slide, patient_id and slide_num: `slide_key` -> (patient_id, slide_num).

    Raises:
      OptionError: The file cannot be read, lacks a column, or a row cannot be used; the message names the line.
    """
    found: dict[str, tuple[str, int]] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            names = [name.strip() for name in rows.fieldnames or ()]
            missing = [name for name in _TABLE_COLUMNS if name not in names]
            if missing:
                has = ", ".join(names) or "nothing"
                raise OptionError(f"slide table {str(path)!r} lacks the columns {', '.join(missing)} (has: {has})")
            rows.fieldnames = names
            for row in rows:
                where = f"slide table {str(path)!r}, line {rows.line_num}"
                slide, patient_id, number = ((row[name] or "").strip() for name in _TABLE_COLUMNS)
                if not slide or not patient_id:
                    raise OptionError(f"{where}: slide or patient_id is empty")
                if not re.fullmatch(r"\d{1,9}", number):
                    raise OptionError(f"{where}: slide_num={number!r} is not a whole number of at least 0")
                if slide_key(slide) in found:
                    raise OptionError(f"{where}: slide {slide!r} is listed twice")
                found[slide_key(slide)] = (patient_id, int(number))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OptionError(f"slide table {str(path)!r} cannot be read: {error}") from None
    return found


def _match_slides(patterns: Iterable[str]) -> list[str]:
    paths = [path for pattern in patterns for path in _match_slide(pattern)]
    by_key: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: (os.path.basename(path), path)):
        other = by_key.setdefault(slide_key(path), path)
        if other != path:
            raise OptionError(
                f"slides {other!r} and {path!r} have the same name, and annotations find a slide by its name; "
                "rename one, or tile them in separate runs"
            )
    return list(by_key.values())


def _match_slide(pattern: str) -> list[str]:
    if not files.is_folder(pattern):
        return match_files([pattern], "slides")
    # Other things lie in folders too: only names with a slide's suffix count.
    paths = files.match(files.join(pattern, "*") if files.is_url(pattern) else os.path.join(glob.escape(pattern), "*"))
    paths = [path for path in paths if slide_key(path) != os.path.basename(path)]
    if not paths:
        raise OptionError(
            f"--slides {pattern!r}: the folder holds no slide; pass a pattern if they have other suffixes"
        )
    return paths


def match_files(patterns: Iterable[str], what: str) -> list[str]:
    """Files that match, absolute or URLs, each once. Folders do not count: a MIRAX slide keeps its pixels in one."""
    found: dict[str, None] = {}
    for pattern in patterns:
        paths = files.match(pattern)
        if not paths:
            where = "" if files.is_url(pattern) else f" (from {os.getcwd()!r})"
            raise OptionError(f"--{what} {pattern!r} matches no file{where}; check the path and quote it")
        found.update(dict.fromkeys(paths))
    return list(found)


def _identify(path: str, run: TilingRun, table: Mapping[str, tuple[str, int]]) -> tuple[str, int, tuple[str, ...]]:
    """Patient, slide number, and a note when they had to be guessed."""
    key = slide_key(path)
    if run.slide_table is not None:
        if key not in table:
            # No guess here: a wrong patient would let one leak from training into test.
            raise OptionError(
                f"slide {os.path.basename(path)!r} is not in the slide table {run.slide_table!r}; add its row"
            )
        return (*table[key], ())
    match = re.search(run.name_pattern, key)
    if match is None:
        return key, 0, ("the file name tells no patient and slide number: taken as a patient of its own, slide 0",)
    if not re.fullmatch(r"\d{1,9}", match["slide_num"] or ""):
        raise OptionError(f"name_pattern finds slide_num={match['slide_num']!r} in {key!r}: not a whole number")
    return match["patient_id"], int(match["slide_num"]), ()


def _refuse_twins(tasks: Iterable[SlideTask]) -> None:
    """Two slides of one patient and number would overwrite each other's rows."""
    seen: dict[tuple[str, int], SlideTask] = {}
    for task in tasks:
        identity = (task.ref.patient_id, task.ref.slide_num)
        other = seen.setdefault(identity, task)
        if other is not task:
            raise OptionError(
                f"slides {other.name!r} and {task.name!r} are both patient {identity[0]!r}, slide {identity[1]}; "
                "tell them apart in --slide-table or by --name-pattern"
            )
