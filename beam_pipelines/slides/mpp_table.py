"""A CSV that says how many micrometres a pixel of each slide covers, for slides that do not tell or tell it wrong."""

from __future__ import annotations

import csv
import math
import os

from beam_pipelines.slides.annotations import slide_key
from tfcass.errors import OptionError

PLAUSIBLE_MPP = (0.02, 50.0)  # Oil immersion to macro photograph; outside, the file's writer mistook the unit.


def check_mpp(mpp: float | tuple[float, float]) -> tuple[float, float]:
    """(x, y) of an mpp given by a user.

    Raises:
      OptionError: not one or two numbers of micrometres per pixel that a slide can have.
    """
    low, high = PLAUSIBLE_MPP
    try:
        x, y = (float(value) for value in (mpp if isinstance(mpp, tuple | list) else (mpp, mpp)))
    except (TypeError, ValueError):
        raise OptionError(f"mpp={mpp!r} is not a number of micrometres per pixel, or a pair of them (x, y)") from None
    if not (low <= x <= high and low <= y <= high):  # Also refuses NaN.
        raise OptionError(f"mpp={mpp!r} is outside [{low:g}, {high:g}] micrometres per pixel")
    return x, y


def read_mpp_table(path: str | os.PathLike[str]) -> dict[str, tuple[float, float]]:
    """Reads a table of mpp overrides.

    Args:
      path: CSV with a header row and the columns slide, mpp and, for pixels that are not square, mpp_y; micrometres
        per pixel of level 0. Slides are named as in annotations: by path, file name or file name without suffix.
    Returns:
      `slide_key` of the slide -> (mpp_x, mpp_y).
    Raises:
      OptionError: the file cannot be read or lacks a column; a value is no credible mpp; a slide comes twice with
        different values. The message names the row; the header is row 1.
    """
    name = os.fspath(path)
    try:
        with open(name, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            absent = {"slide", "mpp"} - set(rows.fieldnames or ())
            if absent:
                raise OptionError(
                    f"mpp table {name!r} has no column {' and '.join(sorted(absent))} "
                    f"(it has: {', '.join(rows.fieldnames or ()) or 'nothing'}); columns are slide, mpp and maybe mpp_y"
                )
            table: dict[str, tuple[float, float]] = {}
            for number, row in enumerate(rows, start=2):
                key, value = _entry(f"mpp table {name!r}, row {number}", row)
                if table.setdefault(key, value) != value:
                    raise OptionError(
                        f"mpp table {name!r}, row {number}: slide {key!r} was {table[key]} before and is {value} here"
                    )
            return table
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OptionError(f"cannot read mpp table {name!r}: {error}") from error


def _entry(where: str, row: dict[str, str | None]) -> tuple[str, tuple[float, float]]:
    slide = (row.get("slide") or "").strip()
    if not slide:
        raise OptionError(f"{where}: no slide named")
    texts = [(row.get("mpp") or "").strip(), (row.get("mpp_y") or "").strip()]
    try:
        x = float(texts[0])
        y = float(texts[1]) if texts[1] else x
    except ValueError:
        x = y = math.nan
    if math.isnan(x) or math.isnan(y):
        raise OptionError(f"{where}: mpp {', '.join(filter(None, texts)) or '(empty)'} is not a number")
    try:
        return slide_key(slide), check_mpp((x, y))
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None
