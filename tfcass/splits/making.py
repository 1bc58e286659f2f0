"""split(): rows in, Splits out."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from tfcass.errors import SplitError
from tfcass.splits.assign import FREE, Cells, assign_groups, assign_rows
from tfcass.splits.draw import Quotas, draw_in_turn, make_quotas
from tfcass.splits.naming import choices, listed
from tfcass.splits.randomness import Stream
from tfcass.splits.rows import Rows
from tfcass.splits.splits import Recipe, Splits

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")  # Split names become file names.


def split(
    rows: pa.Table,
    *,
    ratios: Mapping[str, float] | None = None,
    label: str = "label",
    group_by: str | Sequence[str] | None = None,
    key: str = "patch_id",
    balance: str | Mapping[object, float] | None = None,
    bags: Mapping[str, Iterable[object]] | None = None,
    max_patches: int | None = None,
    folds: int | None = None,
    seed: int = 0,
) -> Splits:
    """Splits rows: no group in two splits, and the same class proportions in each as far as whole groups allow.

        splits = tfcass.split(rows, ratios={"train": 8, "val": 1, "test": 1}, group_by="patient_id", max_patches=50_000)
        print(splits.report())

    The same rows and seed give the same splits on any machine, whatever the order of the rows. Every row is in a split
    or counted in the report with the reason why not.

    Args:
      rows: Metadata, one row per key; the key column is fixed_size_binary(16). `tfcass.read_rows` gives such a table.
      ratios: Split name -> weight, positive; weights need not sum to 1. Give either `ratios` or `folds`.
      label: Column of classes: integers, booleans or strings.
      group_by: Columns whose rows stay together (patient, or patient and slide). None: each row is its own group.
      key: Column of UUIDs.
      balance: None keeps the class proportions found. "equal" draws as many rows of each class, a mapping class ->
        weight draws in these proportions; in every split, as many rows as its scarcest class allows.
      bags: Split name -> groups that must be in it (values of the `group_by` column; tuples if there are several). The
        other groups are placed around them.
      max_patches: Rows over all splits at most; each split gets its ratio of it. Drawn in turn over the groups of a
        class, so that few patches still show many patients.
      folds: At least 2: splits fold0, fold1, ... of equal weight. `splits.fold(i)` gives train and val of one turn.
      seed: Non-negative. Decides ties, draws and the order of the search.
    Returns:
      The splits, each in ascending order of keys (`tfcass.Shard` shuffles).
    Raises:
      SplitError: The rows or settings allow no such splits; the message says which and what to do.
      KeyFormatError: The key column is not fixed_size_binary(16).
    """
    ratios = _checked_ratios(ratios, folds)
    if not _is_int(seed) or seed < 0:
        raise SplitError(f"seed={seed!r} is not a non-negative integer")
    if max_patches is not None and (not _is_int(max_patches) or max_patches < 1):
        raise SplitError(f"max_patches={max_patches!r} is not a positive integer; None takes all rows")
    group_by = _checked_columns(group_by)
    checked = Rows.check(rows, key=key, label=label, group_by=group_by)
    weights = _balance_weights(balance, checked.classes, label)
    bags = _checked_bags(bags, ratios, group_by)
    names, shares = list(ratios), np.array(list(ratios.values())) / sum(ratios.values())

    row_split = _place(checked, names, shares, _fixed_groups(checked, bags, names), seed)
    n_classes = len(checked.classes)
    cells = row_split * n_classes + checked.row_class
    supply = np.bincount(cells, minlength=len(names) * n_classes).reshape(len(names), n_classes)
    _refuse_absent(supply, checked, names, "after grouping")
    quotas = make_quotas(supply, shares, weights, max_patches)
    _refuse_absent(quotas.taken, checked, names, f"under max_patches={max_patches} and balance={balance!r}")
    kept = draw_in_turn(row_split, checked.row_class, checked.row_group, quotas, Stream(seed, 2))

    recipe = Recipe(
        key=key,
        label=label,
        group_by=checked.group_by,
        ratios=ratios,
        balance=balance if balance is None or isinstance(balance, str) else {str(c): w for c, w in balance.items()},
        bags={name: tuple(str(group) for group in groups) for name, groups in bags.items()},
        max_patches=max_patches,
        folds=folds,
        seed=seed,
        input_rows=len(checked.keys),
        input_sha256=checked.digest(),
        left_out=_left_out(quotas, names, checked.classes),
    )
    tables = {
        name: checked.table.take(pa.array(np.flatnonzero(kept & (row_split == i)))) for i, name in enumerate(names)
    }
    return Splits(tables, recipe)


def _place(rows: Rows, names: Sequence[str], shares: np.ndarray, fixed: np.ndarray, seed: int) -> np.ndarray:
    """int64 [n]: the split of each row."""
    if rows.n_groups < len(names):
        what = f"groups of {listed(rows.group_by)}" if rows.group_by else "rows"
        raise SplitError(
            f"{len(names)} splits ({listed(names)}) of {rows.n_groups} {what}: ask for fewer, or group more finely"
        )
    n_classes = len(rows.classes)
    if rows.n_groups == len(rows.keys) and (fixed == FREE).all():
        return assign_rows(rows.row_class, shares, n_classes, Stream(seed, 1))
    cells = Cells.count_rows(rows.row_group, rows.row_class, rows.n_groups, n_classes)
    return assign_groups(cells, shares, fixed, Stream(seed, 1))[rows.row_group]


def _checked_ratios(ratios: Mapping[str, float] | None, folds: int | None) -> dict[str, float]:
    if (ratios is None) == (folds is None):
        raise SplitError("give either ratios, such as {'train': 8, 'val': 2}, or folds, such as 5")
    if folds is not None:
        if not _is_int(folds) or folds < 2:
            raise SplitError(f"folds={folds!r} is not an integer of at least 2")
        return {f"fold{i}": 1.0 for i in range(folds)}
    if not isinstance(ratios, Mapping) or not ratios:
        raise SplitError(
            f"ratios={ratios!r} is empty or no mapping; pass split names and weights, such as {{'train': 8, 'val': 2}}"
        )
    for name, weight in ratios.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SplitError(
                f"split name {name!r} in ratios: use letters, digits, '_', '.' and '-', at most 64 of them"
            )
        _check_weight(f"ratios[{name!r}]", weight)
    return {name: float(weight) for name, weight in ratios.items()}


def _checked_columns(group_by: str | Sequence[str] | None) -> tuple[str, ...]:
    columns = (group_by,) if isinstance(group_by, str) else tuple(group_by or ())
    if len(set(columns)) != len(columns):
        raise SplitError(f"group_by={list(columns)} names a column twice")
    return columns


def _balance_weights(
    balance: str | Mapping[object, float] | None, classes: Sequence[object], label: str
) -> np.ndarray | None:
    if balance is None:
        return None
    if balance == "equal":
        return np.ones(len(classes))
    if not isinstance(balance, Mapping):
        raise SplitError(f"balance={balance!r} is not one of None, 'equal', or a mapping of class to weight")
    for cls, weight in balance.items():
        if cls not in classes:
            raise SplitError(f"balance names class {cls!r}, which is not in column {label!r} {choices(cls, classes)}")
        _check_weight(f"balance[{cls!r}]", weight)
    missing = [cls for cls in classes if cls not in balance]
    if missing:
        raise SplitError(
            f"balance has no weight for class {listed(missing)} of column {label!r}; leave such rows out first"
        )
    return np.array([float(balance[cls]) for cls in classes])


def _checked_bags(
    bags: Mapping[str, Iterable[object]] | None, ratios: Mapping[str, float], group_by: Sequence[str]
) -> dict[str, list[object]]:
    """The same, with each group a value that is comparable to Rows.group_names()."""
    if not bags:
        return {}
    if not group_by:
        raise SplitError("bags place groups, and there are none: pass group_by as well")
    checked = {}
    for name, groups in bags.items():
        if name not in ratios:
            raise SplitError(f"bags names split {name!r}, which is not in ratios {choices(name, ratios)}")
        if isinstance(groups, str | bytes) or not isinstance(groups, Iterable):
            raise SplitError(f"bags[{name!r}]={groups!r} is a single value; pass a list of groups")
        checked[name] = [tuple(group) if isinstance(group, list) else group for group in groups]
    return checked


def _fixed_groups(rows: Rows, bags: Mapping[str, Sequence[object]], names: Sequence[str]) -> np.ndarray:
    """int64 [n_groups]: the split of each group that `bags` places, else FREE."""
    fixed = np.full(rows.n_groups, FREE, np.int64)
    if not bags:
        return fixed
    groups = rows.group_names()
    number_of = {group: number for number, group in enumerate(groups)}
    for name, wanted in bags.items():
        for group in wanted:
            if group not in number_of:
                raise SplitError(f"bags[{name!r}] names group {group!r}, which no row has {choices(group, groups)}")
            other = fixed[number_of[group]]
            if other != FREE:
                raise SplitError(f"bags place group {group!r} twice: in {names[other]!r} and in {name!r}")
            fixed[number_of[group]] = names.index(name)
    return fixed


def _refuse_absent(counts: np.ndarray, rows: Rows, names: Sequence[str], when: str) -> None:
    absent = np.argwhere(counts == 0)
    if not len(absent):
        return
    where, cls = absent[0]
    of_class = rows.row_class == cls
    held = f"{int(of_class.sum())} rows"
    if rows.group_by:
        held += f" in {len(np.unique(rows.row_group[of_class]))} groups of {listed(rows.group_by)}"
    raise SplitError(
        f"class {rows.classes[cls]!r} is absent from split {names[where]!r} {when}: it has {held} for {len(names)} "
        "splits; ask for fewer splits, a larger ratio or max_patches, or leave the class out"
    )


def _left_out(quotas: Quotas, names: Sequence[str], classes: Sequence[object]) -> dict[str, dict[str, dict[str, int]]]:
    """Reason -> split -> class -> rows."""
    reasons = {"balance": quotas.supply - quotas.balanced, "max_patches": quotas.balanced - quotas.taken}
    return {
        reason: {
            name: {str(cls): int(n) for cls, n in zip(classes, row, strict=True)}
            for name, row in zip(names, rows, strict=True)
        }
        for reason, rows in reasons.items()
        if rows.any()
    }


def _check_weight(what: str, weight: object) -> None:
    number = isinstance(weight, int | float | np.number) and not isinstance(weight, bool)
    if not number or not math.isfinite(weight) or weight <= 0:
        raise SplitError(f"{what}={weight!r} is not a positive number")


def _is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
