"""Cross-validation: one turn of it, with or without nested validation, and several repetitions."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tfcass.errors import SplitError
from tfcass.splits.assign import FREE
from tfcass.splits.making import place, split
from tfcass.splits.options import is_int
from tfcass.splits.parts import Part
from tfcass.splits.randomness import Stream
from tfcass.splits.rows import Columns, Rows

if TYPE_CHECKING:
    from tfcass.splits.splits import Splits

_NESTED, _REPEATED = 11, 12  # Streams of random words.


def repeated_folds(rows: pa.Table, *, folds: int, repeats: int, seed: int = 0, **options: object) -> "list[Splits]":
    """Cross-validation several times, each with other folds.

        for splits in tfcass.splits.repeated_folds(rows, folds=5, repeats=3, group_by="patient_id"):
            for turn in range(5):
                fold = splits.fold(turn, validation=0.1)  # train, val and test

    Args:
      rows: As in split().
      folds: At least 2.
      repeats: At least 1.
      seed: Non-negative; the seed of each repetition is drawn from it.
      options: Of split().
    Returns:
      `repeats` splits with fold0, fold1, ...
    Raises:
      SplitError: As split() does.
    """
    if not is_int(repeats) or repeats < 1:
        raise SplitError(f"repeats={repeats!r} is not a positive integer")
    if not is_int(seed) or seed < 0:
        raise SplitError(f"seed={seed!r} is not a non-negative integer")
    seeds = Stream(seed, _REPEATED).priorities(repeats) >> np.uint64(1)
    return [split(rows, folds=folds, seed=int(of), **options) for of in seeds]


def fold(splits: "Splits", turn: int, validation: float | None) -> "Splits":
    """See Splits.fold."""
    recipe = splits.recipe
    if recipe.folds is None:
        raise SplitError(f"fold({turn}) needs splits made with split(folds=...); these are {', '.join(splits.names)}")
    if not is_int(turn) or turn not in range(recipe.folds):
        raise SplitError(f"fold({turn!r}) is not in [0, {recipe.folds})")
    number = isinstance(validation, int | float | np.number) and not isinstance(validation, bool)
    if validation is not None and not (number and 0 < validation < 1):
        raise SplitError(f"fold({turn}, validation={validation!r}): the share is not between 0 and 1, such as 0.1")
    held_out = f"fold{turn}"
    others = pa.concat_tables([splits.table(name) for name in splits.names if name != held_out])
    # What was left out is told by fold in the splits that this is a view of.
    recipe = dataclasses.replace(
        recipe,
        folds=None,
        bags={},
        left_out={},
        dropped={},
        notes=(),
        input_rows=sum(map(splits.rows, splits.names)),
        balance=None,
        targets=None,
        max_patches=None,
        history=(*recipe.history, f"turn {turn} of {recipe.folds} folds"),
    )
    if validation is None:
        ratios = {"train": float(splits.recipe.folds - 1), "val": 1.0}
        parts = {"train": Part(others.sort_by(recipe.key)), "val": splits._part(held_out)}
        held = {"train": [name for name in splits.names if name != held_out], "val": [held_out]}
        supply = {
            what: {name: _added([by_split[old] for old in olds]) for name, olds in held.items()}
            for what, by_split in recipe.supply.items()
        }
        return type(splits)(parts, dataclasses.replace(recipe, ratios=ratios, supply=supply))

    rows = rows_of(others, recipe)
    shares = np.array([1.0 - validation, validation])
    names = ["train", "val"]
    free = np.full(rows.n_groups, FREE, np.int64)
    seed = int(Stream(recipe.seed, _NESTED, int(turn)).priorities(1)[0] >> np.uint64(1))
    placement = place(rows, names, shares, free, seed, absent=recipe.absent, tolerance=recipe.tolerance)
    parts = {name: Part(rows.table, rows.order[placement.row_split == i]) for i, name in enumerate(names)}
    rest = splits.recipe.folds - 1.0
    ratios = {"train": rest * float(shares[0]), "val": rest * float(shares[1]), "test": 1.0}
    supply = {what: {**by_split, "test": recipe.supply[what][held_out]} for what, by_split in placement.supply.items()}
    return type(splits)(
        {**parts, "test": splits._part(held_out)},
        dataclasses.replace(recipe, ratios=ratios, supply=supply, notes=tuple(placement.notes)),
    )


def rows_of(table: pa.Table, recipe: object) -> Rows:
    """The rows of splits, or more of their kind, encoded as these were."""
    columns = Columns(
        key=recipe.key,
        label=recipe.label,
        group_by=recipe.group_by,
        cover=recipe.cover,
        stratify=recipe.stratify,
        weight=recipe.weight,
    )
    return Rows.check(table, columns, labelling=recipe.labelling)


def _added(parts: list[dict[str, float]]) -> dict[str, float]:
    return {value: sum(part.get(value, 0) for part in parts) for part in parts for value in part}
