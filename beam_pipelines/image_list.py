"""The files of an ImageRun and their classes, before any is opened: from folders, or from a table."""

import csv
import dataclasses
import difflib
import io
import os
import re
from collections.abc import Iterable, Mapping

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.image_run import ImageRun
from beam_pipelines.text_files import is_url, joined, read_bytes
from tfcass.errors import OptionError

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2")
_WHOLE = re.compile(r"\d{1,9}")


@dataclasses.dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that should become a row; see image_tables.IMAGE_COLUMNS for the fields."""

    path: str
    class_name: str
    label: int
    subset: str = ""
    group_name: str = ""


@dataclasses.dataclass(frozen=True)
class ImageList:
    """What there is to do.

    Attributes:
      files: In the order of their paths, or of the table; each path once.
      classes: Name -> label, in the order of the labels.
      notes: What a user may want to know, such as files that are no images.
    """

    files: tuple[ImageFile, ...]
    classes: Mapping[str, int]
    notes: tuple[str, ...]

    def count(self, class_name: str) -> int:
        return sum(file.class_name == class_name for file in self.files)


def list_images(run: ImageRun) -> ImageList:
    """Finds the files and numbers the classes.

    Raises:
      OptionError: Nothing is found, or a table cannot be used; the message says where and what.
    """
    files, notes = _of_table(run) if run.table is not None else _of_folders(run)
    names = sorted({name for _, name, *_ in files})
    given = None if run.classes is None else _read_classes(run.classes)
    labels = given if given is not None else _numbered(names)
    for name in names:
        if name not in labels:
            near = difflib.get_close_matches(name, labels, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise OptionError(f"class {name!r} is not in {run.classes!r} ({len(labels)} classes){hint}")
    found = [ImageFile(path, name, labels[name], subset, group) for path, name, subset, group in files]
    if run.limit is not None and len(found) > run.limit:
        notes = (*notes, f"--limit: the first {run.limit:,} of {len(found):,} files")
        found = found[: run.limit]
    return ImageList(tuple(found), dict(sorted(labels.items(), key=lambda item: item[1])), tuple(notes))


_Found = tuple[str, str, str, str]  # Path, class, subset, group.


def _of_folders(run: ImageRun) -> tuple[list[_Found], tuple[str, ...]]:
    found: dict[str, _Found] = {}
    loose = others = 0
    for root in run.images:
        for path in _below(root):
            inside = path[len(root.rstrip("/")) + 1 :]
            class_name, _, name = inside.partition("/")
            if os.path.basename(path).startswith(".") or not path.lower().endswith(SUFFIXES):
                others += 1
            elif not name:
                loose += 1
            else:
                found[path] = (path, class_name, run.subset, "")
    notes = []
    if loose:
        notes.append(f"{loose:,} images lie beside the class folders and have no class: left out")
    if others:
        notes.append(f"{others:,} files are no images by their names: left out")
    if not found:
        raise OptionError(
            f"--images {', '.join(run.images)}: no image in a folder of its class"
            + (f" ({'; '.join(notes)})" if notes else "; a folder per class is expected, as in images/cat/1.jpg")
        )
    return [found[path] for path in sorted(found)], tuple(notes)


def _below(root: str) -> Iterable[str]:
    if not is_url(root):
        if not os.path.isdir(root):
            raise OptionError(f"--images {root!r} is no folder")
        for folder, _, names in os.walk(root, followlinks=True):
            yield from (os.path.join(folder, name) for name in names)
        return
    try:
        (result,) = FileSystems.match([f"{root.rstrip('/')}/**"])
    except (OSError, ValueError, BeamIOError) as error:
        raise OptionError(f"--images {root!r} cannot be listed: {error}") from None
    yield from (entry.path for entry in result.metadata_list)


def _of_table(run: ImageRun) -> tuple[list[_Found], tuple[str, ...]]:
    root = run.root or run.table.rpartition("/")[0]
    found: dict[str, _Found] = {}
    for line, row in _rows(run.table, "--csv", ("path", "label")):
        where = f"--csv {run.table!r}, line {line}"
        path, label = row["path"], row["label"]
        if not path or not label:
            raise OptionError(f"{where}: path or label is empty")
        if not is_url(path) and not path.startswith("/"):
            path = joined(root, path)
        entry = (path, label, row.get("subset") or run.subset, row.get("group") or "")
        if found.setdefault(path, entry) != entry:
            raise OptionError(f"{where}: {path!r} is listed twice, and not alike")
    if not found:
        raise OptionError(f"--csv {run.table!r} lists no file")
    return list(found.values()), ()


def _read_classes(path: str) -> dict[str, int]:
    text = _text(path, "--classes")
    if "," not in text.partition("\n")[0]:
        names = [line.strip() for line in text.splitlines() if line.strip()]
        if len(set(names)) < len(names):
            raise OptionError(f"--classes {path!r}: a name is listed twice")
        return {name: label for label, name in enumerate(names)}
    labels: dict[str, int] = {}
    for line, row in _rows(path, "--classes", ("name", "label")):
        if not _WHOLE.fullmatch(row["label"]) or row["name"] in labels:
            raise OptionError(
                f"--classes {path!r}, line {line}: {row['name']!r}, {row['label']!r} must be a new name and a whole "
                "number of at least 0"
            )
        labels[row["name"]] = int(row["label"])
    return labels


def _numbered(names: list[str]) -> dict[str, int]:
    """The names' own numbers when all are numbers, else 0, 1, ... in the order of the names."""
    if all(_WHOLE.fullmatch(name) for name in names) and len({int(name) for name in names}) == len(names):
        return {name: int(name) for name in names}
    return {name: label for label, name in enumerate(names)}


def _rows(path: str, flag: str, wanted: tuple[str, ...]) -> Iterable[tuple[int, dict[str, str]]]:
    try:
        rows = csv.DictReader(io.StringIO(_text(path, flag), newline=""))
        names = [name.strip() for name in rows.fieldnames or ()]
        missing = [name for name in wanted if name not in names]
        if missing:
            raise OptionError(
                f"{flag} {path!r} lacks the columns {', '.join(missing)} (has: {', '.join(names) or 'nothing'})"
            )
        rows.fieldnames = names
        for row in rows:
            yield rows.line_num, {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
    except csv.Error as error:
        raise OptionError(f"{flag} {path!r} cannot be read: {error}") from None


def _text(path: str, flag: str) -> str:
    try:
        return read_bytes(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{flag} {path!r} cannot be read: {error}") from None
