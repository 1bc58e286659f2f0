"""What is in the splits, counted from their rows."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tfcass.splits.cells import count_pairs
from tfcass.splits.columns import encode, encode_groups, group_values
from tfcass.splits.naming import listed

if TYPE_CHECKING:
    from tfcass.splits.splits import Splits

_WIDE = 8  # Classes that get a column of the table each; of more, the worst are told.
_WORST = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """One split.

    Attributes:
      rows: Rows in it.
      share: Rows over the rows of all splits.
      target: What `ratios` asked `share` to be.
      classes: Class -> rows; multi-label rows count for each of their classes.
      class_groups: Class -> groups that hold it.
      groups: Groups, that is rows if nothing was grouped.
      left_out: Reason -> rows of its groups that were not taken.
      off: Class -> (rows of it in the split / rows of it) - target, before rows were left out: how far whole groups
        keep it from what was asked. Of sums of weights, if there are weights.
      covers: Column to cover or stratify by -> value -> rows.
    """

    rows: int
    share: float
    target: float
    classes: Mapping[str, int]
    class_groups: Mapping[str, int]
    groups: int
    left_out: Mapping[str, int]
    off: Mapping[str, float]
    covers: Mapping[str, Mapping[str, int]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitReport:
    """Counts, and the proof that splits are disjoint. `str()` is a table for people, `as_dict()` is for JSON.

    Attributes:
      splits: Name -> counts.
      group_by: Grouping columns.
      leaks: Groups that are in several splits -> the names of these splits. Empty is the proof.
      input_rows: Rows that split() was given: those in splits, and those left out.
      dropped: Reason -> rows that took no part.
      off_target: The largest |off| of all classes and splits.
      notes: What was asked and could not be had.
      history: What was done to the splits since they were made.
    """

    splits: Mapping[str, SplitCounts]
    group_by: tuple[str, ...]
    leaks: Mapping[str, tuple[str, ...]]
    input_rows: int
    dropped: Mapping[str, int]
    off_target: float
    notes: tuple[str, ...]
    history: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows in splits."""
        return sum(counts.rows for counts in self.splits.values())

    @property
    def left_out(self) -> int:
        """Rows in no split, for any reason."""
        drawn = sum(sum(counts.left_out.values()) for counts in self.splits.values())
        return drawn + sum(self.dropped.values())

    def as_dict(self) -> dict[str, object]:
        """Plain dicts, lists, strings and numbers."""
        return {
            **dataclasses.asdict(self),
            "group_by": list(self.group_by),
            "leaks": {g: list(s) for g, s in self.leaks.items()},
            "notes": list(self.notes),
            "history": list(self.history),
        }

    def lines(self) -> list[list[str]]:
        """The table, its header first."""
        classes = self._classes()
        shown = classes if len(classes) <= _WIDE else []
        header = ["split", "rows", "share", "asked", *(f"class {cls}" for cls in shown), "groups", "left out"]
        return [header] + [self._line(name, counts, shown) for name, counts in self.splits.items()]

    def remarks(self) -> list[str]:
        """What is told below the table."""
        by = listed(self.group_by) or "row"
        shared = f"{len(self.leaks)} groups ({by}) in several splits" + (
            f": {listed(self.leaks)}" if self.leaks else ""
        )
        off = f"class shares within {self.off_target:.1%} of those asked"
        told = [f"{self.rows} of {self.input_rows} rows taken; {shared}; {off}"]
        if self.dropped:
            told.append("not taking part: " + ", ".join(f"{n} ({reason})" for reason, n in self.dropped.items()))
        classes = self._classes()
        if len(classes) > _WIDE:
            worst = sorted(
                ((abs(off), name, cls) for name, counts in self.splits.items() for cls, off in counts.off.items()),
                key=lambda item: -item[0],
            )[:_WORST]
            told.append(
                f"{len(classes)} classes; furthest from their ratio: "
                + ", ".join(f"{cls} in {name} {self.splits[name].off[cls]:+.1%}" for _, name, cls in worst)
            )
        return [*told, *(f"note: {note}" for note in self.notes), *(f"then: {step}" for step in self.history)]

    def __str__(self) -> str:
        lines = self.lines()
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = [
            "  ".join(
                [
                    line[0].ljust(widths[0]),
                    *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
                ]
            )
            for line in lines
        ]
        return "\n".join([*text, *self.remarks()])

    def _classes(self) -> list[str]:
        return list(dict.fromkeys(cls for counts in self.splits.values() for cls in counts.classes))

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


def make_report(splits: "Splits") -> SplitReport:
    """Counts the rows of `splits`."""
    recipe = splits.recipe
    total, weight = sum(map(splits.rows, splits.names)), sum(recipe.ratios.values())
    classes = [str(cls) for cls in splits.classes]
    group_codes, n_groups = _group_codes(splits)
    covers = {name: _values(splits, name) for name in (*recipe.cover, *recipe.stratify)}
    supply = recipe.supply.get("class", {})
    of_class = {cls: sum(of.get(cls, 0) for of in supply.values()) for cls in classes}
    counted = {}
    for name in splits.names:
        labels = splits.row_labels(name)
        rows_of = np.bincount(labels.codes, minlength=len(classes))
        groups_of = rows_of
        groups = splits.rows(name)
        if recipe.group_by:
            codes = group_codes[name]
            groups = int(np.count_nonzero(np.bincount(codes, minlength=n_groups)))
            _, held, _ = count_pairs(
                codes if labels.row is None else codes[labels.row], labels.codes, n_groups, len(classes)
            )
            groups_of = np.bincount(held, minlength=len(classes))
        target = recipe.ratios[name] / weight
        counted[name] = SplitCounts(
            rows=splits.rows(name),
            share=splits.rows(name) / total if total else 0.0,
            target=target,
            classes=dict(zip(classes, rows_of.tolist(), strict=True)),
            class_groups=dict(zip(classes, groups_of.tolist(), strict=True)),
            groups=groups,
            left_out={
                reason: sum(of[name].values())
                for reason, of in recipe.left_out.items()
                if name in of and sum(of[name].values())
            },
            off={cls: supply.get(name, {}).get(cls, 0) / of_class[cls] - target for cls in classes if of_class[cls]},
            covers={column: of[name] for column, of in covers.items()},
        )
    return SplitReport(
        splits=counted,
        group_by=tuple(recipe.group_by),
        leaks=find_leaks(splits),
        input_rows=recipe.input_rows,
        dropped=dict(recipe.dropped),
        off_target=max((abs(off) for counts in counted.values() for off in counts.off.values()), default=0.0),
        notes=recipe.notes,
        history=recipe.history,
    )


def find_leaks(splits: "Splits") -> dict[str, tuple[str, ...]]:
    """Groups that are in several splits -> names of these, by comparing the rows themselves."""
    by = list(splits.recipe.group_by)
    if not by:
        return {}
    codes, n_groups = _group_codes(splits)
    held = np.stack([np.bincount(codes[name], minlength=n_groups) > 0 for name in splits.names])
    found: dict[str, tuple[str, ...]] = {}
    for group in np.flatnonzero(held.sum(axis=0) > 1):
        names = tuple(name for name, has in zip(splits.names, held[:, group], strict=True) if has)
        first = int(np.argmax(codes[names[0]] == group))
        (value,) = group_values(splits.columns(names[0], by).slice(first, 1), by)
        found[str(value)] = names
    return found


def _group_codes(splits: "Splits") -> tuple[dict[str, np.ndarray], int]:
    """Split -> int32 [n], the same code for the same group in all splits; and how many codes."""
    by = list(splits.recipe.group_by)
    if not by:
        return {}, 0
    codes, count = encode_groups(pa.concat_tables([splits.columns(name, by) for name in splits.names]), by)
    return _by_split(splits, codes), count


def _values(splits: "Splits", column: str) -> dict[str, dict[str, int]]:
    """Split -> value of a column -> rows."""
    together = pa.concat_tables([splits.columns(name, [column]) for name in splits.names])
    codes, values = encode(together.column(column))
    names = [str(value) for value in values.to_pylist()]
    return {
        name: dict(zip(names, np.bincount(part, minlength=len(names)).tolist(), strict=True))
        for name, part in _by_split(splits, codes).items()
    }


def _by_split(splits: "Splits", codes: np.ndarray) -> dict[str, np.ndarray]:
    ends = np.cumsum([splits.rows(name) for name in splits.names])
    return dict(zip(splits.names, np.split(codes, ends[:-1]), strict=True))
