"""Labels as data: what each patch shows of each class, as columns, and the rule that makes a label of them.

    labels = label_shares(regions, x_l0, y_l0, 512, 512)   # once, when a slide is tiled
    labels.columns()                                       # share_tumor, inner_tumor, centre_label, ...: kept
    LabelRule.parse("inner>0").decide(labels)              # any time later, from the columns alone

A rule can so be changed without reading a pixel: `relabelled` does it for rows in memory, before they are split;
beam_pipelines/relabel.py for a table.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from beam_pipelines.slides.classes import DEFAULT_CLASSES, EXCLUDE, NOT_ANNOTATED, ClassMap
from beam_pipelines.slides.coverage import areas_in_boxes, bands
from beam_pipelines.slides.masks import in_painters_order, paint
from beam_pipelines.slides.polygons import areas
from tfcass.errors import OptionError

if TYPE_CHECKING:
    import pyarrow as pa

    from beam_pipelines.slides.annotations import Region

NO_LABEL = -1
INNER = 1 / 3  # Side of the inner square: PatchCamelyon's 32 of 96 pixels.
CENTRE_COLUMN = "centre_label"
_NOISE = 1e-9  # Of a share: rounding may leave this where there is nothing.


@dataclasses.dataclass(frozen=True)
class PatchLabels:
    """What n patches show of k classes.

    Attributes:
      classes: Their names, in painter's order.
      share: float64 [n, k]: share of the patch that is of the class, in [0, 1].
      centre: int32 [n]: label of the class at the patch's centre, NO_LABEL (-1) where there is none.
      inner: float64 [n, k]: share of the inner square.
    """

    classes: tuple[str, ...]
    share: np.ndarray
    centre: np.ndarray
    inner: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """Column -> values, by the names of `label_columns`."""
        found = {f"share_{name}": self.share[:, number] for number, name in enumerate(self.classes)}
        found |= {f"inner_{name}": self.inner[:, number] for number, name in enumerate(self.classes)}
        return {**found, CENTRE_COLUMN: self.centre}

    def row(self, number: int) -> dict[str, Any]:
        """Column -> value of one patch, as it goes into its row; no class at the centre is None."""
        values = {name: values[number].item() for name, values in self.columns().items()}
        return {**values, CENTRE_COLUMN: None if values[CENTRE_COLUMN] == NO_LABEL else values[CENTRE_COLUMN]}

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any]], classes: ClassMap = DEFAULT_CLASSES) -> PatchLabels:
        """Turns the columns of a table back.

        Raises:
          OptionError: a column is absent, or empty in some row.
        """
        names = classes.class_names
        wanted = label_columns(classes)
        if missing := [name for name in wanted if name not in columns]:
            raise OptionError(
                f"the rows have no {', '.join(missing)} (have: {', '.join(columns)}); "
                "they were tiled without these columns, or with another class map"
            )
        arrays = {name: _floats(columns[name]) for name in wanted if name != CENTRE_COLUMN}
        if empty := [name for name, values in arrays.items() if np.isnan(values).any()]:
            count = int(np.isnan(arrays[empty[0]]).sum())
            raise OptionError(f"{count:,} rows have no value in {empty[0]}: they were tiled before it was kept")
        stack = [
            np.stack([arrays[f"{kind}_{name}"] for name in names], axis=1).reshape(-1, len(names))
            for kind in ("share", "inner")
        ]
        centre = [NO_LABEL if value is None or value != value else int(value) for value in columns[CENTRE_COLUMN]]
        return cls(names, stack[0], np.array(centre, np.int32), stack[1])


def label_columns(classes: ClassMap = DEFAULT_CLASSES) -> dict[str, tuple[str, str]]:
    """Column of the metadata table -> (CQL type, what it means)."""
    shares = {
        f"share_{name}": ("float", f"share of the patch that is {name}, in [0, 1]") for name in classes.class_names
    }
    inner = {
        f"inner_{name}": ("float", f"share of the patch's inner square that is {name}") for name in classes.class_names
    }
    return {**shares, **inner, CENTRE_COLUMN: ("int", "class at the patch's centre; null where there is none")}


def label_shares(
    regions: Iterable[Region],
    x_l0: np.ndarray,
    y_l0: np.ndarray,
    width_l0: float,
    height_l0: float,
    classes: ClassMap = DEFAULT_CLASSES,
    *,
    inner: float = INNER,
    size_l0: tuple[int, int] | None = None,
) -> PatchLabels:
    """Tells what patches of one slide show, exactly: by geometry, not by counting pixels.

    Args:
      regions: All of the slide, in level-0 pixels.
      x_l0, y_l0: [n], top-left corners; on a grid or anywhere.
      width_l0, height_l0: Footprint of a patch in level-0 pixels.
      classes: Which class covers which, and what is outside of all regions.
      inner: Side of the inner square as a fraction of the patch's.
      size_l0: (width, height) of the slide: past it, nothing is annotated, `classes.outside` included.
    Raises:
      ValueError: the footprint or `inner` is not positive, or the corners are no two equal vectors.
    """
    x_l0, y_l0 = np.asarray(x_l0, np.float64), np.asarray(y_l0, np.float64)
    if not (width_l0 > 0 and height_l0 > 0 and 0 < inner <= 1) or x_l0.shape != y_l0.shape or x_l0.ndim != 1:
        raise ValueError(
            f"patches of {width_l0} x {height_l0}, inner={inner}, corners {x_l0.shape} and {y_l0.shape}: expected "
            "positive sides, inner in (0, 1], and two vectors of one length"
        )
    regions = list(regions)
    parts = visible_parts(regions, classes)
    margin_x, margin_y = width_l0 * (1 - inner) / 2, height_l0 * (1 - inner) / 2
    whole = (x_l0, y_l0, x_l0 + width_l0, y_l0 + height_l0)
    square = (x_l0 + margin_x, y_l0 + margin_y, x_l0 + width_l0 - margin_x, y_l0 + height_l0 - margin_y)
    share, inner_share = (_shares(parts, boxes, classes, size_l0) for boxes in (whole, square))
    centre = _labels_at(regions, x_l0 + width_l0 / 2, y_l0 + height_l0 / 2, classes, size_l0)
    return PatchLabels(classes.class_names, share, centre, inner_share)


def visible_parts(regions: Iterable[Region], classes: ClassMap) -> list[tuple[str, shapely.Geometry]]:
    """(class or EXCLUDE, what can be seen of a region under those painted over it): no two of them overlap."""
    ordered = in_painters_order(regions, classes)
    tree = shapely.STRtree([region.polygon for region in ordered])
    parts = []
    for number, region in enumerate(ordered):
        above = [other for other in tree.query(region.polygon, predicate="intersects") if other > number]
        polygon = region.polygon
        if above:
            over = shapely.union_all([ordered[other].polygon for other in above])
            polygon = areas(shapely.difference(polygon, over))
        if not polygon.is_empty:
            parts.append((region.label, polygon))
    return parts


def _shares(
    parts: Sequence[tuple[str, shapely.Geometry]],
    boxes: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    classes: ClassMap,
    size_l0: tuple[int, int] | None,
) -> np.ndarray:
    left, top, right, bottom = boxes
    size = (right - left) * (bottom - top)
    covered = {name: np.zeros(len(left)) for name in (*classes.class_names, EXCLUDE)}
    for name, polygon in parts:
        covered[name] += areas_in_boxes(polygon, *boxes)
    if classes.outside is not None:
        room = size
        if size_l0 is not None:
            wide = np.minimum(right, size_l0[0]) - np.maximum(left, 0)
            room = np.maximum(wide, 0) * np.maximum(np.minimum(bottom, size_l0[1]) - np.maximum(top, 0), 0)
        covered[classes.outside] += room - sum(covered.values())
    share = np.stack([covered[name] for name in classes.class_names], axis=1) / size[:, None]
    share[share < _NOISE] = 0.0
    share[share > 1 - _NOISE] = 1.0
    return share


def _labels_at(
    regions: Sequence[Region], x: np.ndarray, y: np.ndarray, classes: ClassMap, size_l0: tuple[int, int] | None
) -> np.ndarray:
    """The label at each point, by the rule of pixel centres."""
    found = np.full(len(x), NO_LABEL, np.int32)
    order = np.lexsort((x, y))
    for band in bands(y[order], y[order], len(np.unique(x))):
        points = order[band]
        (xs, columns), (ys, rows) = (np.unique(values[points], return_inverse=True) for values in (x, y))
        found[points] = paint(regions, xs, ys, classes, size_l0=size_l0)[rows, columns]
    found[found == NOT_ANNOTATED] = NO_LABEL
    return found


@dataclasses.dataclass(frozen=True)
class LabelRule:
    """How a patch gets its label from what it shows.

    Attributes:
      by: "share": the class with the largest share of the patch, if that is at least `threshold`.
        "any": the topmost class whose share of the patch is at least `threshold`: tumour before normal.
        "inner": the same for the inner square.
        "centre": the class at the patch's centre.
      threshold: In [0, 1]; 0 means any at all. Without meaning for "centre".
    Raises:
      OptionError: A field is outside what is accepted.
    """

    by: str = "share"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        kinds = ("share", "any", "inner", "centre")
        if self.by not in kinds:
            near = difflib.get_close_matches(str(self.by), kinds, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise OptionError(f"a label rule goes by {', '.join(kinds)}, not by {self.by!r}{hint}")
        value = self.threshold
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise OptionError(f"threshold={value!r} of the label rule is not a fraction in [0, 1]")

    @classmethod
    def parse(cls, text: str) -> LabelRule:
        """Reads "share>=0.5", "any>0", "inner>0" or "centre"; without a number, these are share >= 0.5 and > 0.

        Raises:
          OptionError: `text` is none of these.
        """
        match = re.fullmatch(r"\s*([a-z]+)\s*(?:>=?\s*([0-9.eE+-]+)\s*)?", text)
        try:
            if match is None or (match[1] == "centre" and match[2]):
                raise ValueError
            return cls(match[1], float(match[2] or (0.5 if match[1] == "share" else 0.0)))
        except ValueError as error:
            if isinstance(error, OptionError):
                raise
            raise OptionError(
                f"label rule {text!r} is not understood; write 'share>=0.5', 'any>0', 'inner>0' or 'centre'"
            ) from None

    def __str__(self) -> str:
        if self.by == "centre":
            return "centre"
        return f"{self.by}>={self.threshold:g}" if self.threshold else f"{self.by}>0"

    def decide(self, labels: PatchLabels, classes: ClassMap = DEFAULT_CLASSES) -> np.ndarray:
        """The label of each patch: int32 [n], NO_LABEL (-1) for those that get none."""
        if self.by == "centre":
            return labels.centre.astype(np.int32)
        # Topmost first, so that argmax takes it where several are equal.
        values = (labels.inner if self.by == "inner" else labels.share)[:, ::-1]
        integers = np.array([classes.label_of(name) for name in reversed(labels.classes)], np.int32)
        enough = values >= self.threshold if self.threshold else values > 0
        best = values.argmax(axis=1) if self.by == "share" else enough.argmax(axis=1)
        rows = np.arange(len(values))
        return np.where(enough[rows, best], integers[best], NO_LABEL).astype(np.int32)


def relabelled(rows: pa.Table, rule: LabelRule, classes: ClassMap = DEFAULT_CLASSES) -> pa.Table:
    """Rows of the metadata table under another rule: for tfcass.split at once, without writing a table.

    Args:
      rows: With the columns of `label_columns`, as tfcass.read_rows gives them.
      rule: What decides.
      classes: Those that the rows were tiled with.
    Returns:
      The rows that get a label, in their order, with it in the column `label`.
    Raises:
      OptionError: The rows lack the columns.
    """
    import pyarrow as pa

    wanted = [name for name in label_columns(classes) if name in rows.column_names]
    columns = {name: rows[name].to_pylist() for name in wanted}
    labels = rule.decide(PatchLabels.from_columns(columns, classes), classes)
    column = pa.array(labels, pa.int32())
    if "label" in rows.column_names:
        rows = rows.set_column(rows.column_names.index("label"), "label", column)
    else:
        rows = rows.append_column("label", column)
    return rows.filter(pa.array(labels != NO_LABEL))


def _floats(values: Sequence[Any]) -> np.ndarray:
    """float64 [n], None as NaN."""
    return np.array([np.nan if value is None else value for value in values], np.float64)
