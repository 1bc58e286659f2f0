"""Splits and other rows: rows that came later, other splits, rows that are gone."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfcass.errors import KeyFormatError, SplitError
from tfcass.keys import key_text
from tfcass.splits.assign import FREE
from tfcass.splits.columns import KEY_BYTES, encode_groups, key_array, key_order, take_keys
from tfcass.splits.folds import rows_of
from tfcass.splits.making import Placement, place
from tfcass.splits.naming import listed
from tfcass.splits.parts import Part
from tfcass.splits.recipe import Recipe, stated
from tfcass.splits.report import find_leaks
from tfcass.splits.rows import Rows
from tfcass.splits.selection import Wanted, keys_in, select

if TYPE_CHECKING:
    from tfcass.splits.splits import Splits


def extend(
    splits: "Splits",
    rows: pa.Table,
    *,
    where: pc.Expression | str | None,
    include: Wanted | None,
    exclude: Wanted | None,
) -> "Splits":
    """See Splits.extend."""
    recipe = splits.recipe
    if not isinstance(rows, pa.Table):
        raise SplitError(f"rows is a {type(rows).__name__}; pass a pyarrow.Table, as tfcass.read_rows() gives it")
    schema = splits.table(splits.names[0]).schema
    rows = _as_schema(rows, schema)
    where = _same_selection(recipe, where, include, exclude)

    is_old = _among(rows.column(recipe.key), [splits.keys(name) for name in splits.names])
    _refuse_half(splits, is_old)
    taken, dropped, notes = select(rows, key=recipe.key, where=where, include=include, exclude=exclude)
    new = ~is_old if taken is None else taken & ~is_old
    if not new.any():
        return splits
    added = rows.filter(pa.array(new))
    together = pa.concat_tables([*(splits.table(name) for name in splits.names), added])
    sizes = [splits.rows(name) for name in splits.names]
    before = np.append(np.repeat(np.arange(len(sizes)), sizes), np.full(len(added), FREE))
    checked = rows_of(together, recipe)
    row_before = before[checked.order]
    row_split, placement = _placed(splits, checked, added, before, row_before)
    parts = {name: Part(checked.table, checked.order[row_split == i]) for i, name in enumerate(splits.names)}
    dropped = _sum(dropped, checked.left_out)
    recipe = dataclasses.replace(
        recipe,
        input_rows=len(rows) if is_old.any() else recipe.input_rows + len(rows),
        input_sha256=checked.digest(),
        dropped=dropped if is_old.any() else _sum(recipe.dropped, dropped),
        supply=placement.supply,
        include=stated(include) if include is not None else recipe.include,
        exclude=stated(exclude) if exclude is not None else recipe.exclude,
        notes=(*notes, *placement.notes),
        history=(*recipe.history, _grown_words(splits, checked, row_split, row_before)),
    )
    return type(splits)(parts, recipe)


def _refuse_half(splits: "Splits", is_old: np.ndarray) -> None:
    """That rows are either all there are, the old ones among them, or new ones alone: else counts could not be kept."""
    old, of = int(is_old.sum()), sum(map(splits.rows, splits.names))
    if old and (splits.recipe.capped or splits.recipe.left_out):
        reasons = listed(splits.recipe.left_out) or "max_patches, balance or targets"
        raise SplitError(
            f"{old} of the {len(is_old)} rows are in these splits, which left rows out ({reasons}): those cannot be "
            "told from new ones; give the new rows only"
        )
    if 0 < old < of:
        raise SplitError(
            f"the rows have {old} of the {of} rows of these splits; give all of them, or new rows only; if some are "
            "gone, prune the splits first"
        )


def _placed(
    splits: "Splits", checked: Rows, added: pa.Table, before: np.ndarray, row_before: np.ndarray
) -> tuple[np.ndarray, Placement]:
    """The split of each row of `checked`, old and new."""
    recipe, names = splits.recipe, list(splits.names)
    shares = np.array(list(recipe.ratios.values())) / sum(recipe.ratios.values())
    bounds = {"absent": "report", "tolerance": recipe.tolerance}
    if not recipe.group_by and len(checked.strata) == 1 and recipe.weight is None:  # Exact, whatever the number.
        new = rows_of(added, recipe)
        have = np.zeros((len(names), len(splits.classes)), np.int64)
        old = np.flatnonzero(row_before != FREE)
        np.add.at(have, (row_before[old], checked.labels.codes[old]), 1)
        free = np.full(new.n_groups, FREE, np.int64)
        placement = place(new, names, shares, free, recipe.seed, have=have, **bounds)
        after = before.copy()
        after[len(before) - len(added) + new.order] = placement.row_split
        return after[checked.order], placement
    fixed = np.full(checked.n_groups, FREE, np.int64)
    old = np.flatnonzero(row_before != FREE)
    fixed[checked.groups()[old]] = row_before[old]
    placement = place(checked, names, shares, fixed, recipe.seed, **bounds)
    return placement.row_split, placement


def merge(splits: "Splits", other: "Splits") -> "Splits":
    """See Splits.merge."""
    ours, theirs = splits.recipe, other.recipe
    for what in ("key", "label", "group_by"):
        if getattr(ours, what) != getattr(theirs, what):
            raise SplitError(
                f"splits with {what}={getattr(ours, what)!r} and {what}={getattr(theirs, what)!r} cannot be merged"
            )
    if ours.labelling.kind != theirs.labelling.kind or ours.labelling.label_map != theirs.labelling.label_map:
        raise SplitError("splits whose classes come from columns in different ways cannot be merged")
    if ours.labelling.edges != theirs.labelling.edges:
        raise SplitError("splits of other quantiles cannot be merged; split the rows of both together")
    schema = splits.table(splits.names[0]).schema
    names = list(dict.fromkeys([*splits.names, *other.names]))
    tables = {}
    for name in names:
        parts = [of.table(name) for of in (splits, other) if name in of.names]
        both = pa.concat_tables([_as_schema(part, schema) for part in parts])
        tables[name] = both.take(pa.array(key_order(key_array(both, ours.key))))
    _refuse_shared_keys(tables, ours.key)
    classes = tuple(sorted({*ours.labelling.classes, *theirs.labelling.classes}))
    if ours.labelling.kind == "columns":
        classes = ours.labelling.classes
    recipe = dataclasses.replace(
        ours,
        ratios={name: float(sum(of.recipe.ratios.get(name, 0.0) for of in (splits, other))) for name in names},
        folds=ours.folds if ours.folds == theirs.folds else None,
        input_rows=ours.input_rows + theirs.input_rows,
        dropped=_sum(ours.dropped, theirs.dropped),
        left_out=_merged_counts(ours.left_out, theirs.left_out),
        labelling=dataclasses.replace(
            ours.labelling, classes=classes, listed=ours.labelling.listed or theirs.labelling.listed
        ),
        supply=_merged_counts(ours.supply, theirs.supply),
        notes=(*ours.notes, *theirs.notes),
        history=(*ours.history, f"merged with splits {other.digest[:12]}"),
    )
    merged = type(splits)(tables, recipe)
    for group, where in find_leaks(merged).items():
        raise SplitError(
            f"group {group!r} of {listed(ours.group_by)} would be in several splits ({listed(where)}); subtract one of "
            "the splits from the other with groups=True first, or split the rows of both together"
        )
    return merged


def subtract(splits: "Splits", other: "Splits | np.ndarray", *, groups: bool) -> "Splits":
    """See Splits.subtract."""
    if isinstance(other, type(splits)):
        keys = [other.keys(name) for name in other.names]
        what = f"splits {other.digest[:12]}"
    else:
        keys = [_checked_keys(other)]
        what = f"{len(keys[0])} keys"
    if groups and not splits.recipe.group_by:
        raise SplitError("subtract(groups=True): these splits have no groups")
    by = list(splits.recipe.group_by)
    gone = {name: _among(splits.columns(name, [splits.recipe.key]).column(0), keys) for name in splits.names}
    if groups:
        tables = [splits.columns(name, by) for name in splits.names]
        hit = np.concatenate(list(gone.values()))
        if isinstance(other, type(splits)):  # Also groups of which the other has other rows.
            tables += [other.columns(name, by) for name in other.names]
            hit = np.append(hit, np.ones(sum(map(other.rows, other.names)), bool))
        codes, count = encode_groups(pa.concat_tables(tables), by)
        is_gone = np.zeros(count, bool)
        is_gone[codes[hit]] = True
        ends = np.cumsum([splits.rows(name) for name in splits.names])
        gone = dict(zip(splits.names, np.split(is_gone[codes[: ends[-1]]], ends[:-1]), strict=True))
    return _without(splits, gone, "subtracted", f"{what} subtracted" + ", with all of their groups" * groups)


def missing_from(splits: "Splits", keys: np.ndarray | pa.ChunkedArray | pa.Array) -> dict[str, np.ndarray]:
    """See Splits.missing_from."""
    there = _checked_keys(keys)
    missing = {
        name: splits.keys(name)[~_among(splits.columns(name, [splits.recipe.key]).column(0), [there])]
        for name in splits.names
    }
    return {name: lost for name, lost in missing.items() if len(lost)}


def check_in(splits: "Splits", keys: np.ndarray | pa.ChunkedArray | pa.Array, table: str) -> None:
    """See Splits.check_in."""
    missing = missing_from(splits, keys)
    if missing:
        raise SplitError(missing_words(missing, table))


def missing_words(missing: Mapping[str, np.ndarray], table: str) -> str:
    """What to tell of what missing_from() gives."""
    parts = []
    for name, lost in missing.items():
        more = ", ..." if len(lost) > 3 else ""
        parts.append(f"{len(lost)} of split {name!r} ({', '.join(map(key_text, lost[:3]))}{more})")
    return (
        f"{table} lacks {sum(map(len, missing.values()))} rows of these splits: {'; '.join(parts)}; ingest them again, "
        "or leave them out: splits.prune(keys), or `tfcass inspect FOLDER --table ... --prune NEW_FOLDER`"
    )


def prune(splits: "Splits", keys: np.ndarray | pa.ChunkedArray | pa.Array) -> "Splits":
    """See Splits.prune."""
    there = _checked_keys(keys)
    gone = {name: ~_among(splits.columns(name, [splits.recipe.key]).column(0), [there]) for name in splits.names}
    return _without(splits, gone, "pruned", "rows pruned that a table lacks")


def _without(splits: "Splits", gone: Mapping[str, np.ndarray], reason: str, step: str) -> "Splits":
    """Without the rows marked, which are counted under `reason`."""
    count = sum(int(mask.sum()) for mask in gone.values())
    if not count:
        return splits
    parts, left = {}, {}
    for name, mask in gone.items():
        if mask.all():
            raise SplitError(f"split {name!r} would be empty: all of its {len(mask)} rows are {reason}")
        parts[name] = Part(splits.table(name).filter(pa.array(~mask)))
        codes = splits.row_labels(name)
        hit = codes.codes[mask] if codes.row is None else codes.codes[mask[codes.row]]
        per_class = np.bincount(hit, minlength=len(splits.classes)).tolist()
        left[name] = (
            {"rows": int(mask.sum())}
            if splits.recipe.labelling.multiple
            else {str(cls): n for cls, n in zip(splits.classes, per_class, strict=True)}
        )
    recipe = dataclasses.replace(
        splits.recipe,
        left_out=_merged_counts(splits.recipe.left_out, {reason: left}),
        history=(*splits.recipe.history, f"{step} ({count} rows)"),
    )
    return type(splits)(parts, recipe)


def _among(column: pa.ChunkedArray, keys: Sequence[np.ndarray]) -> np.ndarray:
    """bool [n]: which rows of the key column are among `keys`."""
    return keys_in(column, np.concatenate([np.zeros((0, KEY_BYTES), np.uint8), *keys]))[0]


def _checked_keys(keys: object) -> np.ndarray:
    if isinstance(keys, pa.Array | pa.ChunkedArray):
        column = keys if isinstance(keys, pa.ChunkedArray) else pa.chunked_array([keys])
        return key_array(pa.table({"keys": column}), "keys")
    if not isinstance(keys, np.ndarray) or keys.dtype != np.uint8 or keys.ndim != 2 or keys.shape[1] != KEY_BYTES:
        raise KeyFormatError(
            f"keys is {getattr(keys, 'dtype', type(keys).__name__)} {list(getattr(keys, 'shape', []))}; expected uint8 "
            f"[n, {KEY_BYTES}], as tfcass.keys() gives, or an Arrow column of such keys"
        )
    return keys


def _as_schema(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    missing = [name for name in schema.names if name not in rows.column_names]
    if missing:
        raise SplitError(
            f"the rows lack column {listed(map(repr, missing))} that these splits have "
            f"(has: {listed(rows.column_names)})"
        )
    rows = rows.select(schema.names)
    try:
        return rows.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise SplitError(f"the rows have columns of other types than these splits: {error}") from None


def _same_selection(
    recipe: Recipe, where: pc.Expression | str | None, include: Wanted | None, exclude: Wanted | None
) -> pc.Expression | str | None:
    """`where` as it holds for new rows."""
    expression = recipe.where is not None and recipe.where.startswith("expression: ")
    for what, given, now in (
        ("where", recipe.where if expression else None, where),
        ("include", recipe.include, include),
        ("exclude", recipe.exclude, exclude),
    ):
        if given is not None and now is None:
            raise SplitError(
                f"these splits were made with {what}, which a manifest does not hold in full; pass {what}=... again "
                "for the new rows"
            )
    return recipe.where if where is None else where


def _refuse_shared_keys(tables: Mapping[str, pa.Table], key: str) -> None:
    keys = np.concatenate([key_array(table, key) for table in tables.values()])
    keys = take_keys(keys, key_order(keys))
    same = np.flatnonzero((keys[1:] == keys[:-1]).all(axis=1))
    if len(same):
        raise SplitError(
            f"{len(same)} keys are in both splits (first: {key_text(keys[same[0]])}); subtract one from the other first"
        )


def _merged_counts(
    left: Mapping[str, Mapping[str, Mapping[str, float]]], right: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> dict[str, dict[str, dict[str, float]]]:
    merged: dict[str, dict[str, dict[str, float]]] = {}
    for side in (left, right):
        for what, by_split in side.items():
            for name, counts in by_split.items():
                into = merged.setdefault(what, {}).setdefault(name, {})
                for value, count in counts.items():
                    into[value] = into.get(value, 0) + count
    return merged


def _sum(*counts: Mapping[str, int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in counts:
        for reason, count in part.items():
            total[reason] = total.get(reason, 0) + count
    return total


def _grown_words(splits: "Splits", checked: Rows, row_split: np.ndarray, row_before: np.ndarray) -> str:
    """How many new rows went where, and by what."""
    new = row_before == FREE
    counts = np.bincount(row_split[new], minlength=len(splits.names)).tolist()
    words = ", ".join(f"{count} to {name}" for name, count in zip(splits.names, counts, strict=True))
    words = f"extended by {int(new.sum())} rows, {words}"
    if not splits.recipe.group_by:
        return words
    groups = checked.groups()
    grown = np.unique(groups[new])
    known = np.zeros(checked.n_groups, bool)
    known[groups[~new]] = True
    return f"{words}; {int((~known[grown]).sum())} new groups, {int(known[grown].sum())} old ones grew"
