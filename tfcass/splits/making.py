"""split(): rows in, Splits out."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfcass.errors import SplitError
from tfcass.splits import options
from tfcass.splits.assign import FREE, assign_groups, assign_rows
from tfcass.splits.cells import Cells, count_pairs
from tfcass.splits.draw import Quotas, draw_in_turn, make_quotas
from tfcass.splits.naming import listed
from tfcass.splits.parts import Part
from tfcass.splits.randomness import Stream
from tfcass.splits.recipe import Recipe, stated
from tfcass.splits.rows import Columns, Rows
from tfcass.splits.selection import Wanted
from tfcass.splits.splits import Splits

_PLACE, _DRAW = 1, 2  # Streams of random words that must not be the same.
_NOTED = 0.05  # Shares of a class further than this from what was asked are told with the reason.
_MOST_NOTES = 20


def split(
    rows: pa.Table,
    *,
    ratios: Mapping[str, float] | None = None,
    label: str | Sequence[str] = "label",
    group_by: str | Sequence[str] | None = None,
    key: str = "patch_id",
    balance: str | Mapping[object, float] | None = None,
    bags: Mapping[str, Iterable[object]] | None = None,
    max_patches: int | Mapping[str, int] | None = None,
    folds: int | None = None,
    seed: int = 0,
    labels: Sequence[object] | None = None,
    label_map: Mapping[object, object] | None = None,
    num_classes: int | None = None,
    quantiles: int | None = None,
    where: pc.Expression | str | None = None,
    include: Wanted | None = None,
    exclude: Wanted | None = None,
    targets: Mapping[object, object] | None = None,
    cover: str | Sequence[str] | None = None,
    stratify: str | Sequence[str] | None = None,
    weight: str | None = None,
    absent: str = "error",
    tolerance: float | None = None,
) -> Splits:
    """Splits rows: no group in two splits, and the same class proportions in each as far as whole groups allow.

        splits = tfcass.split(rows, ratios={"train": 8, "val": 1, "test": 1}, group_by="patient_id", max_patches=50_000)
        print(splits.report())

    The same rows and seed give the same splits on any machine, whatever the order of the rows. Every row is in a split
    or counted in the report with the reason why not. What was asked and cannot be had is an error, or is stated in the
    report (`notes`): how far whole groups keep a class from its ratio, and quotas above the supply.

    Which rows:
      rows: Metadata, one row per key; the key column is fixed_size_binary(16). `tfcass.read_rows` gives such a table.
      key: Column of UUIDs.
      where: Condition on columns: text such as "level == 1 and site in ('A', 'B')", or an Arrow expression such as
        pyarrow.compute.field("level") == 1. A condition on a null is not met.
      exclude, include: Keys (uint8 [n, 16], or UUIDs), or column -> values: rows with one of these are left out; only
        rows with one of these, in each column named, are taken.
    Classes:
      label: Column of classes: integers, booleans or strings. A column of lists of these, or several columns of
        booleans or 0 and 1: multi-label; each class is stratified, and a row counts for all that it has.
      labels: The classes to take; rows of other classes are left out. In multi-label rows, other classes are ignored.
      label_map: Value of the label column -> class, or None to leave its rows out. Every value must be in it.
      num_classes: Check that classes are the integers 0 .. num_classes - 1, all of them there.
      quantiles: The label is a number (regression): stratify on so many ranges of it, of about as many rows each.
      weight: Column of positive numbers: proportions are of its sums instead of rows.
    Splits:
      ratios: Split name -> weight, positive; weights need not sum to 1. Give either `ratios` or `folds`.
      folds: At least 2: splits fold0, fold1, ... of equal weight. `splits.fold(i)` gives train and val of one turn.
      group_by: Columns whose rows stay together (patient, or patient and slide). None: each row is its own group.
      bags: Split name -> groups that must be in it (values of the `group_by` column; tuples if there are several). The
        other groups are placed around them.
      cover: Columns of which every value must be in every split, such as the site; proportions are kept as of classes.
      stratify: Columns whose proportions are kept as of classes, without that requirement.
      absent: "error": every class and every value of `cover` must be in every split. "report": what is not is stated.
      tolerance: Error if the share of a class in a split is further than this from its ratio. None: it is stated.
      seed: Non-negative. Decides ties, draws and the order of the search.
    How many; drawn in turn over the groups of a class, so that few patches still show many patients:
      max_patches: Rows over all splits at most, each split gets its ratio of it; or split -> rows.
      balance: None keeps the class proportions found. "equal" draws as many rows of each class, a mapping class ->
        weight draws in these proportions; in every split, as many rows as its scarcest class allows.
      targets: Class -> rows over all splits, or split -> class -> rows; classes that are not named are taken whole.

    Returns:
      The splits, each in ascending order of keys (`tfcass.Shard` shuffles).
    Raises:
      SplitError: The rows or settings allow no such splits; the message says which and what to do.
      KeyFormatError: The key column is not fixed_size_binary(16).
    """
    ratios = options.checked_ratios(ratios, folds)
    options.check_seed(seed)
    options.check_absent(absent)
    options.check_tolerance(tolerance)
    quota = options.checked_max_patches(max_patches, ratios)
    columns = Columns(
        key=key,
        label=label if isinstance(label, str) else tuple(label),
        group_by=options.checked_columns("group_by", group_by),
        cover=options.checked_columns("cover", cover),
        stratify=options.checked_columns("stratify", stratify),
        weight=weight,
    )
    selected = {"where": where, "include": include, "exclude": exclude}
    checked = Rows.check(
        rows,
        columns,
        **selected,
        labels=labels,
        label_map=label_map,
        num_classes=num_classes,
        quantiles=quantiles,
    )
    classes = checked.labelling.classes
    _refuse_per_class(checked, balance=balance, targets=targets)
    weights = options.balance_weights(balance, classes, label)
    bags = options.checked_bags(bags, ratios, columns.group_by)
    names, shares = list(ratios), np.array(list(ratios.values())) / sum(ratios.values())
    wanted = options.checked_targets(targets, names, shares, classes)

    placement = place(
        checked, names, shares, options.fixed_groups(checked, bags, names), seed, absent=absent, tolerance=tolerance
    )
    row_split = placement.row_split
    draw_class, n_draw = checked.labels.draw_codes(len(checked))
    supply = _count_by_split(row_split, draw_class, len(names), n_draw)
    quotas = make_quotas(supply, shares, balance=weights, targets=wanted, max_patches=quota)
    # Where each row is a group of its own, turns over these are draws of rows: a split is as good a group.
    draw_group, n_draw_groups = (
        (row_split, len(names)) if checked.row_group is None else (checked.row_group, checked.n_groups)
    )
    kept = draw_in_turn(row_split, draw_class, draw_group, n_draw_groups, quotas, Stream(seed, _DRAW))
    notes = [*checked.notes, *placement.notes, *_shortfalls(quotas, names, classes)]
    caps = ", ".join(
        f"{what}={value!r}"
        for what, value in (("max_patches", max_patches), ("balance", balance), ("targets", targets))
        if value is not None
    )
    notes += absent_after_draw(checked, row_split, kept, names, caps, absent)
    recipe = Recipe(
        key=key,
        label=columns.label,
        group_by=columns.group_by,
        ratios=ratios,
        balance=stated(balance),
        bags={name: tuple(str(group) for group in groups) for name, groups in bags.items()},
        max_patches=stated(max_patches),
        folds=folds,
        seed=int(seed),
        input_rows=rows.num_rows,
        input_sha256=checked.digest(),
        dropped=dict(checked.left_out),
        left_out=_left_out(quotas, names, classes, checked.labelling.multiple, targets is not None),
        labelling=checked.labelling,
        where=where if where is None or isinstance(where, str) else f"expression: {where}",
        include=stated(include),
        exclude=stated(exclude),
        targets=stated(targets),
        cover=columns.cover,
        stratify=columns.stratify,
        weight=weight,
        absent=absent,
        tolerance=tolerance,
        supply=placement.supply,
        notes=tuple(notes),
    )
    del placement
    parts = {}
    narrow = np.uint32 if rows.num_rows < 1 << 32 else np.int64
    for i, name in enumerate(names):
        parts[name] = Part(checked.table, checked.order[kept & (row_split == i)].astype(narrow))
    return Splits(parts, recipe)


@dataclasses.dataclass(frozen=True, eq=False)
class Placement:
    """Where groups went.

    Attributes:
      row_split: int16 [n].
      supply: Stratum ("class", or a column) -> split -> value -> rows, or the sum of their weights.
      notes: What could not be had.
    """

    row_split: np.ndarray
    supply: dict[str, dict[str, dict[str, float]]]
    notes: list[str]


def place(
    rows: Rows,
    names: Sequence[str],
    shares: np.ndarray,
    fixed: np.ndarray,
    seed: int,
    *,
    absent: str,
    tolerance: float | None,
    have: np.ndarray | None = None,
) -> Placement:
    """Places every row. `fixed` (int64 [n_groups]) holds groups that have a split already, else FREE.

    Args:
      have: Where each row is a group of its own: int64 [n_splits, n_classes] that is there already, beside `rows`.
    Raises:
      SplitError: Fewer groups than splits; a class absent; a share outside the tolerance.
    """
    if rows.n_groups < len(names) and have is None:
        what = f"groups of {listed(rows.columns.group_by)}" if rows.columns.group_by else "rows"
        raise SplitError(
            f"{len(names)} splits ({listed(names)}) of {rows.n_groups} {what}: ask for fewer, or group more finely"
        )
    stream = Stream(seed, _PLACE)
    required = np.concatenate([np.full(len(part.values), part.required) for part in rows.strata])
    single = rows.n_groups == len(rows) and rows.labels.row is None and rows.weight is None
    if have is not None or (single and (fixed == FREE).all()):
        row_split = assign_rows(
            rows.labels.codes, shares, len(rows.labelling.classes), stream, within=_within(rows), have=have
        )
        by_split = np.concatenate(
            [_count_by_split(row_split, part.codes, len(names), len(part.values)) for part in rows.strata], axis=1
        )
        cells = None
    else:
        cells = Cells.count_rows(rows.groups(), rows.strata, rows.n_groups, rows.weight)
        split_of = assign_groups(cells, shares, fixed, stream, required=required)
        by_split = cells.by_split(split_of, len(names))
        row_split = split_of.astype(np.int16)[rows.groups()]
    total = by_split + (0 if have is None else have)
    return Placement(
        row_split,
        _supply(rows, total, names),
        [
            *_absent_notes(rows, total, names, "after grouping", absent, required),
            *_off_notes(rows, total, names, shares, cells, tolerance),
        ],
    )


def absent_after_draw(
    rows: Rows, row_split: np.ndarray, kept: np.ndarray, names: Sequence[str], caps: str, absent: str
) -> list[str]:
    """Notes on classes that caps left no row of; an error where these are not wanted."""
    if not caps:
        return []
    counts = []
    for part in rows.strata:
        of = slice(None) if part.row is None else part.row
        here = kept[of]
        counts.append(_count_by_split(row_split[of][here], part.codes[here], len(names), len(part.values)))
    required = np.concatenate([np.full(len(part.values), part.required) for part in rows.strata])
    return _absent_notes(rows, np.concatenate(counts, axis=1), names, f"under {caps}", absent, required)


def _within(rows: Rows) -> np.ndarray | None:
    """int64 [n]: one code for all strata but classes; None if there are none."""
    joint = None
    for part in rows.strata[1:]:
        joint = part.codes.astype(np.int64) if joint is None else joint * len(part.values) + part.codes
        joint = np.unique(joint, return_inverse=True)[1]
    return joint


def _count_by_split(row_split: np.ndarray, codes: np.ndarray, n_splits: int, n_codes: int) -> np.ndarray:
    """int64 [n_splits, n_codes]."""
    counts = np.zeros((n_splits, n_codes), np.int64)
    split, code, count = count_pairs(row_split, codes, n_splits, n_codes)
    counts[split, code] = count
    return counts


def _refuse_per_class(rows: Rows, **settings: object) -> None:
    given = [name for name, value in settings.items() if value is not None]
    if len(given) > 1:
        raise SplitError(f"{' and '.join(given)} both say how many rows of a class are drawn; leave one of them out")
    if given and rows.labelling.multiple:
        raise SplitError(
            f"{given[0]} counts rows by class, and multi-label rows have several; use max_patches, which draws over "
            "the sets of classes in their proportions"
        )


def _strata_of(rows: Rows) -> list[tuple[str, object]]:
    """What each column of a table of counts stands for: (stratum, value)."""
    return [(part.what, value) for part in rows.strata for value in part.values]


def _supply(rows: Rows, by_split: np.ndarray, names: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    # Weights become what they were, about: 2**20 is a weight of mean size.
    scale = 1 if rows.weight is None else 1 / float(1 << 20)
    supply: dict[str, dict[str, dict[str, float]]] = {}
    for column, (what, value) in enumerate(_strata_of(rows)):
        for row, name in enumerate(names):
            count = by_split[row, column] * scale
            supply.setdefault(what, {}).setdefault(name, {})[str(value)] = int(count) if scale == 1 else float(count)
    return supply


def _absent_notes(
    rows: Rows, counts: np.ndarray, names: Sequence[str], when: str, absent: str, required: np.ndarray
) -> list[str]:
    empty = np.flatnonzero(counts[:, : len(rows.labelling.classes)].sum(axis=1) == 0)
    if len(empty) and not rows.labelling.multiple:
        raise SplitError(
            f"split {names[empty[0]]!r} is empty {when}, of {len(rows)} rows in {rows.n_groups} groups; ask for fewer "
            "splits, a larger ratio or larger caps"
        )
    strata = _strata_of(rows)
    lacking = np.argwhere((counts == 0) & required)
    told = [
        _absent_words(rows, *strata[column], names[where], when, len(names)) for where, column in lacking[:_MOST_NOTES]
    ]
    if told and absent == "error":
        raise SplitError(
            f"{told[0]}; ask for fewer splits, a larger ratio or larger caps, leave the class out, or pass "
            "absent='report' to take what there is"
        )
    return _cut(told, len(lacking))


def _absent_words(rows: Rows, what: str, value: object, split: str, when: str, n_splits: int) -> str:
    part = next(part for part in rows.strata if part.what == what)
    hit = np.flatnonzero(part.codes == list(part.values).index(value))
    of = hit if part.row is None else part.row[hit]
    held = f"{len(of)} rows"
    if rows.columns.group_by:
        held += f" in {len(np.unique(rows.groups()[of]))} groups of {listed(rows.columns.group_by)}"
    return f"{what} {value!r} is absent from split {split!r} {when}: it has {held} for {n_splits} splits"


def _off_notes(
    rows: Rows,
    by_split: np.ndarray,
    names: Sequence[str],
    shares: np.ndarray,
    cells: Cells | None,
    tolerance: float | None,
) -> list[str]:
    """How far classes are from their ratios, and why; an error beyond the tolerance."""
    off = by_split / np.maximum(1, by_split.sum(axis=0)) - shares[:, None]
    off = np.where(by_split.sum(axis=0) > 0, off, 0.0)
    limit = _NOTED if tolerance is None else min(tolerance, _NOTED)
    worst = np.argwhere(np.abs(off) > limit + 1e-12)
    worst = worst[np.argsort(-np.abs(off[worst[:, 0], worst[:, 1]]), kind="stable")]
    strata = _strata_of(rows)
    told = []
    for where, column in worst[:_MOST_NOTES]:
        what, value = strata[column]
        told.append(
            f"{what} {value!r}: split {names[where]!r} has {shares[where] + off[where, column]:.1%} of it, "
            f"{shares[where]:.1%} asked{_largest_words(rows, cells, column)}"
        )
        if tolerance is not None and abs(off[where, column]) > tolerance + 1e-12:
            raise SplitError(
                f"{told[0]}; that is not within tolerance={tolerance:g}, and no better way of placing whole groups was "
                "found: allow more, ask for other ratios, or group more finely"
            )
    return _cut(told, len(worst))


def _largest_words(rows: Rows, cells: Cells | None, column: int) -> str:
    if cells is None or not rows.columns.group_by:
        return ""
    of = np.flatnonzero(cells.stratum == column)
    largest = of[np.argmax(cells.count[of])]
    share = cells.count[largest] / cells.count[of].sum()
    group = int(np.searchsorted(cells.start, largest, side="right")) - 1
    first = int(np.argmax(rows.groups() == group))
    name = [rows.table.column(by)[int(rows.order[first])].as_py() for by in rows.columns.group_by]
    return f" ({len(of)} groups have it, and {listed(name)!r} alone {share:.1%})"


def _shortfalls(quotas: Quotas, names: Sequence[str], classes: Sequence[object]) -> list[str]:
    told = []
    for reason, lacking in quotas.short.items():
        for (where, cls), count in lacking.items():
            have = quotas.wanted[where].sum() if cls < 0 else quotas.supply[where, cls]
            what = "rows" if cls < 0 else f"rows of class {classes[cls]!r}"
            told.append(f"{reason}: split {names[where]!r} has {have} of the {have + count} {what} asked")
    return _cut(told, len(told))


def _cut(told: list[str], count: int) -> list[str]:
    """The first of `count` notes of a kind."""
    more = count - _MOST_NOTES
    return told if more <= 0 else [*told[:_MOST_NOTES], f"... and {more} more like the last"]


def _left_out(
    quotas: Quotas, names: Sequence[str], classes: Sequence[object], multiple: bool, targets: bool
) -> dict[str, dict[str, dict[str, int]]]:
    """Reason -> split -> class -> rows."""
    reasons = {
        "targets" if targets else "balance": quotas.supply - quotas.wanted,
        "max_patches": quotas.wanted - quotas.taken,
    }
    return {
        reason: {
            name: {"rows": int(row.sum())}
            if multiple
            else {str(cls): int(n) for cls, n in zip(classes, row, strict=True)}
            for name, row in zip(names, rows, strict=True)
        }
        for reason, rows in reasons.items()
        if rows.any()
    }
