"""What split() was asked, checked: each bad value is one error that names it and says what is accepted."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tfcass.errors import SplitError
from tfcass.splits.assign import FREE, apportion
from tfcass.splits.naming import choices, listed
from tfcass.splits.rows import Rows

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")  # Split names become file names.
_MOST_SPLITS = 10_000


def checked_ratios(ratios: Mapping[str, float] | None, folds: int | None) -> dict[str, float]:
    if (ratios is None) == (folds is None):
        raise SplitError("give either ratios, such as {'train': 8, 'val': 2}, or folds, such as 5")
    if folds is not None:
        if not is_int(folds) or not 2 <= folds <= _MOST_SPLITS:
            raise SplitError(f"folds={folds!r} is not an integer of at least 2 and at most {_MOST_SPLITS}")
        return {f"fold{i}": 1.0 for i in range(folds)}
    if not isinstance(ratios, Mapping) or not ratios:
        raise SplitError(
            f"ratios={ratios!r} is empty or no mapping; pass split names and weights, such as {{'train': 8, 'val': 2}}"
        )
    if len(ratios) > _MOST_SPLITS:
        raise SplitError(f"ratios names {len(ratios)} splits; there may be {_MOST_SPLITS}")
    for name, weight in ratios.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SplitError(
                f"split name {name!r} in ratios: use letters, digits, '_', '.' and '-', at most 64 of them"
            )
        check_weight(f"ratios[{name!r}]", weight)
    return {name: float(weight) for name, weight in ratios.items()}


def checked_columns(what: str, columns: str | Sequence[str] | None) -> tuple[str, ...]:
    names = (columns,) if isinstance(columns, str) else tuple(columns or ())
    if len(set(names)) != len(names):
        raise SplitError(f"{what}={list(names)} names a column twice")
    return names


def check_seed(seed: object) -> None:
    if not is_int(seed) or seed < 0:
        raise SplitError(f"seed={seed!r} is not a non-negative integer")


def check_absent(absent: object) -> None:
    if absent not in ("error", "report"):
        raise SplitError(f"absent={absent!r} is not one of 'error', 'report'")


def check_tolerance(tolerance: object) -> None:
    if tolerance is None:
        return
    if not _is_number(tolerance) or not 0 <= tolerance <= 1:
        raise SplitError(f"tolerance={tolerance!r} is not a share in [0, 1], such as 0.05")


def checked_max_patches(
    max_patches: int | Mapping[str, int] | None, ratios: Mapping[str, float]
) -> int | np.ndarray | None:
    """An integer for all splits, or int64 of each split, -1 where there is no bound."""
    if max_patches is None:
        return None
    if not isinstance(max_patches, Mapping):
        if not is_int(max_patches) or max_patches < 1:
            raise SplitError(f"max_patches={max_patches!r} is not a positive integer; None takes all rows")
        return int(max_patches)
    for name, count in max_patches.items():
        if name not in ratios:
            raise SplitError(f"max_patches names split {name!r}, which is not in ratios {choices(name, ratios)}")
        if not is_int(count) or count < 1:
            raise SplitError(f"max_patches[{name!r}]={count!r} is not a positive integer")
    return np.array([max_patches.get(name, -1) for name in ratios], np.int64)


def balance_weights(
    balance: str | Mapping[object, float] | None, classes: Sequence[object], label: object
) -> np.ndarray | None:
    """float64 [n_classes]."""
    if balance is None:
        return None
    if isinstance(balance, str) and balance == "equal":
        return np.ones(len(classes))
    if not isinstance(balance, Mapping):
        raise SplitError(f"balance={balance!r} is not one of None, 'equal', or a mapping of class to weight")
    for cls, weight in balance.items():
        if cls not in classes:
            raise SplitError(f"balance names class {cls!r}, which is not in column {label!r} {choices(cls, classes)}")
        check_weight(f"balance[{cls!r}]", weight)
    missing = [cls for cls in classes if cls not in balance]
    if missing:
        raise SplitError(
            f"balance has no weight for class {listed(missing)} of column {label!r}; leave such rows out first, as "
            "with labels=[...]"
        )
    return np.array([float(balance[cls]) for cls in classes])


def checked_targets(
    targets: Mapping[object, object] | None, names: Sequence[str], shares: np.ndarray, classes: Sequence[object]
) -> np.ndarray | None:
    """int64 [n_splits, n_classes], -1 where all rows are taken."""
    if targets is None:
        return None
    if not isinstance(targets, Mapping) or not targets:
        raise SplitError(f"targets={targets!r} is empty or no mapping of class to rows, or of split to such a mapping")
    wanted = np.full((len(names), len(classes)), -1, np.int64)
    by_split = [isinstance(value, Mapping) for value in targets.values()]
    if any(by_split) and not all(by_split):
        raise SplitError("targets mixes splits and classes; map classes to rows, or splits to mappings of these")
    if not any(by_split):
        for cls, count in targets.items():
            at = _class_at(f"targets names class {cls!r}", cls, classes)
            wanted[:, at] = apportion(_checked_target(f"targets[{cls!r}]", count), shares)
        return wanted
    for name, of in targets.items():
        if name not in names:
            raise SplitError(f"targets names split {name!r}, which is not in ratios {choices(name, names)}")
        for cls, count in of.items():
            at = _class_at(f"targets[{name!r}] names class {cls!r}", cls, classes)
            wanted[names.index(name), at] = _checked_target(f"targets[{name!r}][{cls!r}]", count)
    return wanted


def checked_bags(
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


def fixed_groups(rows: Rows, bags: Mapping[str, Sequence[object]], names: Sequence[str]) -> np.ndarray:
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


def check_weight(what: str, weight: object) -> None:
    if not _is_number(weight) or not math.isfinite(weight) or weight <= 0:
        raise SplitError(f"{what}={weight!r} is not a positive number")


def is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _class_at(what: str, cls: object, classes: Sequence[object]) -> int:
    if cls not in classes:
        raise SplitError(f"{what}, which no row has {choices(cls, classes)}")
    return list(classes).index(cls)


def _checked_target(what: str, count: object) -> int:
    if not is_int(count) or count < 1:
        raise SplitError(f"{what}={count!r} is not a positive integer")
    return int(count)
