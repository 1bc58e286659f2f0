"""Which slide this is, whatever its path: an id of its content, and the files it is made of."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import openslide

_HASHED_BYTES = 2**20  # Of the head and of the tail of each file, where OpenSlide has no quickhash.


def content_id(path: str | os.PathLike[str], properties: Mapping[str, str]) -> str:
    """The id of a slide's content: the same wherever its files lie, another one for another slide.

    Cheap by design, some megabytes read at most, so it tells slides apart and does not detect damage. OpenSlide's
    quickhash-1 where there is one: for MIRAX of Slidedat.ini, which holds the slide's own id, and of the coarsest
    level's images in the Data files; for TIFF of the properties and the coarsest level; for DICOM of the series' UID.
    Otherwise sha256 over size, head and tail of the slide's files.

    Args:
      path: The slide that `properties` were read from.
      properties: OpenSlide's.
    Raises:
      OSError: a file cannot be read.
    """
    if quickhash := properties.get(openslide.PROPERTY_NAME_QUICKHASH1):
        return quickhash
    main = Path(path)
    digest = hashlib.sha256()
    _add(digest, main)
    for companion in sorted(_mirax_folder(main).glob("*.[dDiI]*")) if _is_mirax(main) else ():
        digest.update(companion.name.encode())
        _add(digest, companion)
    return digest.hexdigest()


def one_file_per_slide(paths: Iterable[str]) -> list[str]:
    """Leaves one file of each DICOM slide among paths, in their order; other paths stay as they are.

    A DICOM slide is a folder of files, one or more a level, and opening any of them opens the slide: without this, a
    pattern such as 'scans/*.dcm' would list a slide as often as it has files. Files that cannot be opened stay, so
    that it is said what is wrong with them.
    """
    kept: list[str] = []
    seen: set[tuple[str, str]] = set()
    for path in paths:
        if path.lower().endswith(".dcm"):
            try:
                with openslide.OpenSlide(path) as slide:
                    series = (os.path.dirname(path), slide.properties.get(openslide.PROPERTY_NAME_QUICKHASH1, path))
            except (openslide.OpenSlideError, OSError):
                series = ("", path)
            if series in seen:
                continue
            seen.add(series)
        kept.append(path)
    return kept


def absent_files(path: str | os.PathLike[str], properties: Mapping[str, str]) -> list[str]:
    """Names of the files that an open MIRAX slide needs and that are not there; empty for other formats.

    OpenSlide notices an absent Data file only when pixels in it are read.
    """
    main = Path(path)
    if not _is_mirax(main):
        return []
    try:
        count = int(properties.get("mirax.DATAFILE.FILE_COUNT", "0"))
    except ValueError:
        return []
    names = [properties.get(f"mirax.DATAFILE.FILE_{number}") for number in range(count)]
    return [name for name in names if name and not (_mirax_folder(main) / name).is_file()]


def absent_folder(path: str | os.PathLike[str]) -> Path | None:
    """The folder that a .mrxs file needs beside it, when it or its Slidedat.ini is not there."""
    main = Path(path)
    folder = _mirax_folder(main)
    return folder if _is_mirax(main) and not (folder / "Slidedat.ini").is_file() else None


def _is_mirax(path: Path) -> bool:
    return path.suffix.lower() == ".mrxs"


def _mirax_folder(path: Path) -> Path:
    return path.with_suffix("")


def _add(digest: hashlib._Hash, path: Path) -> None:
    size = path.stat().st_size
    digest.update(str(size).encode())
    with open(path, "rb") as file:
        digest.update(file.read(_HASHED_BYTES))
        file.seek(max(0, size - _HASHED_BYTES))
        digest.update(file.read(_HASHED_BYTES))
