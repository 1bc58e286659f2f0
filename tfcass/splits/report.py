"""What is in the splits, counted from their rows."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfcass.splits.naming import listed
from tfcass.splits.rows import group_values

if TYPE_CHECKING:
    from tfcass.splits.splits import Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """One split.

    Attributes:
      rows: Rows in it.
      share: Rows over the rows of all splits.
      target: What `ratios` asked `share` to be.
      classes: Class -> rows.
      class_groups: Class -> groups that hold it.
      groups: Groups, that is rows if nothing was grouped.
      left_out: Reason -> rows of its groups that were not taken.
    """

    rows: int
    share: float
    target: float
    classes: Mapping[str, int]
    class_groups: Mapping[str, int]
    groups: int
    left_out: Mapping[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitReport:
    """Counts, and the proof that splits are disjoint. `str()` is a table for people, `as_dict()` is for JSON.

    Attributes:
      splits: Name -> counts.
      group_by: Grouping columns.
      leaks: Groups that are in several splits -> the names of these splits. Empty is the proof.
      input_rows: Rows that split() was given: those in splits, and those left out.
      off_target: The largest |rows of a class in a split / rows of the class - ratio of the split|, before rows were
        left out: how far whole groups keep the splits from the asked ratios.
    """

    splits: Mapping[str, SplitCounts]
    group_by: tuple[str, ...]
    leaks: Mapping[str, tuple[str, ...]]
    input_rows: int
    off_target: float

    def as_dict(self) -> dict[str, object]:
        """Plain dicts, lists, strings and numbers."""
        return {
            **dataclasses.asdict(self),
            "group_by": list(self.group_by),
            "leaks": {g: list(s) for g, s in self.leaks.items()},
        }

    def __str__(self) -> str:
        classes = list(dict.fromkeys(cls for counts in self.splits.values() for cls in counts.classes))
        header = ["split", "rows", "share", "asked", *(f"class {cls}" for cls in classes), "groups", "left out"]
        lines = [header] + [self._line(name, counts, classes) for name, counts in self.splits.items()]
        widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
        text = [
            "  ".join(
                [
                    line[0].ljust(widths[0]),
                    *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
                ]
            )
            for line in lines
        ]
        by = listed(self.group_by) or "row"
        shared = f"{len(self.leaks)} groups ({by}) in several splits" + (
            f": {listed(self.leaks)}" if self.leaks else ""
        )
        taken = sum(counts.rows for counts in self.splits.values())
        off = f"class shares within {self.off_target:.1%} of those asked"
        text.append(f"{taken} of {self.input_rows} rows taken; {shared}; {off}")
        return "\n".join(text)

    def _line(self, name: str, counts: SplitCounts, classes: Sequence[str]) -> list[str]:
        left_out = ", ".join(f"{n} ({reason})" for reason, n in counts.left_out.items()) or "0"
        grouped = bool(self.group_by)
        per_class = [f"{counts.classes[cls]}" + f" in {counts.class_groups[cls]}" * grouped for cls in classes]
        return [
            name,
            str(counts.rows),
            f"{counts.share:.1%}",
            f"{counts.target:.1%}",
            *per_class,
            str(counts.groups),
            left_out,
        ]


def make_report(tables: Mapping[str, pa.Table], classes: Sequence[object], recipe: "Recipe") -> SplitReport:
    """Counts `tables`."""
    total, weight = sum(table.num_rows for table in tables.values()), sum(recipe.ratios.values())
    counted = {}
    for name, table in tables.items():
        rows_of, groups_of = _per_class(table, classes, recipe)
        counted[name] = SplitCounts(
            rows=table.num_rows,
            share=table.num_rows / total if total else 0.0,
            target=recipe.ratios[name] / weight,
            classes=rows_of,
            class_groups=groups_of,
            groups=len(_groups(table, recipe.group_by)) if recipe.group_by else table.num_rows,
            left_out={
                reason: sum(of[name].values()) for reason, of in recipe.left_out.items() if sum(of[name].values())
            },
        )
    return SplitReport(
        splits=counted,
        group_by=tuple(recipe.group_by),
        leaks=find_leaks(tables, recipe.group_by),
        input_rows=recipe.input_rows,
        off_target=_off_target(counted, recipe),
    )


def find_leaks(tables: Mapping[str, pa.Table], group_by: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Groups that are in several of `tables` -> names of these, by comparing the rows themselves."""
    if not group_by:
        return {}
    found: dict[object, list[str]] = {}
    for name, table in tables.items():
        for group in group_values(_groups(table, group_by), group_by):
            found.setdefault(group, []).append(name)
    return {str(group): tuple(names) for group, names in found.items() if len(names) > 1}


def _groups(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The distinct values of `columns`."""
    return table.group_by(list(columns)).aggregate([])


def _per_class(table: pa.Table, classes: Sequence[object], recipe: "Recipe") -> tuple[dict[str, int], dict[str, int]]:
    labels = table.column(recipe.label)
    rows_of = {item["values"]: item["counts"] for item in pc.value_counts(labels).to_pylist()}
    if not recipe.group_by:
        groups_of = rows_of
    else:
        pairs = _groups(table, list(dict.fromkeys([recipe.label, *recipe.group_by]))).column(recipe.label)
        groups_of = {item["values"]: item["counts"] for item in pc.value_counts(pairs).to_pylist()}
    return {str(c): rows_of.get(c, 0) for c in classes}, {str(c): groups_of.get(c, 0) for c in classes}


def _off_target(counted: Mapping[str, SplitCounts], recipe: "Recipe") -> float:
    supply = np.array(
        [
            [n + sum(of[name].get(cls, 0) for of in recipe.left_out.values()) for cls, n in counts.classes.items()]
            for name, counts in counted.items()
        ],
        np.float64,
    )
    target = np.array([counts.target for counts in counted.values()])[:, None]
    return float(np.abs(supply / np.maximum(supply.sum(axis=0), 1) - target).max(initial=0.0))
