"""`tfcass inspect`: what saved splits hold, whether a table has all of it, and a picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfcass.cli.connection import takes_cluster

if TYPE_CHECKING:
    import tfcass
    from tfcass.splits import Splits

_MOST = 40  # Lines of a table.


@takes_cluster
def inspect(
    folder: Annotated[Path, typer.Argument(help="Folder of saved splits.")],
    cluster: "tfcass.Cluster",
    by: Annotated[list[str] | None, typer.Option(help="Also count by this column; repeatable.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw class and group balance into this PNG.")] = None,
    table: Annotated[
        str | None, typer.Option(help="KEYSPACE.TABLE, or Parquet: does it have every row of the splits?")
    ] = None,
    prune: Annotated[
        Path | None, typer.Option(help="Save the splits there without the rows that --table lacks.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Check saved splits and show their counts by class, group and constraint. Exit status 1 if --table lacks rows."""
    from tfcass.cli.progress import progress
    from tfcass.cli.split import read_source
    from tfcass.errors import SplitError
    from tfcass.splits import Splits
    from tfcass.splits.growing import missing_words
    from tfcass.splits.plot import draw_splits

    if prune is not None and table is None:
        raise typer.BadParameter("--prune needs --table, which says what rows there are")
    with progress() as tell:
        tell(f"reading {folder}")
        splits = Splits.load(folder)
        missing, pruned = {}, None
        if table is not None:
            tell(f"reading the keys of {table}")
            key = splits.recipe.key
            there = read_source(table, cluster, key).column(key)
            missing = splits.missing_from(there)
            if prune is not None and missing:
                tell(f"saving {prune}")
                pruned = splits.prune(there)
                pruned.save(prune)
        if plot is not None:
            tell(f"drawing {plot}")
            draw_splits(splits, plot)
    if as_json:
        print(json.dumps(splits.report().as_dict(), indent=1, ensure_ascii=False))
    else:
        _show(splits, by or [])
    if plot is not None:
        print(f"drawn into {plot}")
    if table is None:
        return
    if not missing:
        print(f"{table} has every row of these splits")
    elif pruned is None:
        raise SplitError(missing_words(missing, table))
    else:
        print(f"{table} lacks {sum(map(len, missing.values()))} rows; the splits without them are in {prune}:")
        print(pruned.report())


def _show(splits: "Splits", by: Sequence[str]) -> None:
    report = splits.report()
    recipe = splits.recipe
    print(report)
    print(f"digest {splits.digest[:12]}, seed {recipe.seed}, key {recipe.key}, classes of {recipe.label}")
    names = list(report.splits)
    classes = list(dict.fromkeys(cls for counts in report.splits.values() for cls in counts.classes))
    grouped = bool(report.group_by)
    _print_table(
        ["class", *(f"{name} rows" + " / groups" * grouped + " / off" for name in names)],
        [
            [
                cls,
                *(
                    f"{counts.classes[cls]:,}"
                    + (f" / {counts.class_groups[cls]:,}" if grouped else "")
                    + (f" / {counts.off[cls]:+.1%}" if cls in counts.off else "")
                    for counts in report.splits.values()
                ),
            ]
            for cls in classes
        ],
    )
    if grouped:
        _show_groups(splits)
    for column in dict.fromkeys([*recipe.cover, *recipe.stratify, *by]):
        counts = {name: _counts(splits, name, column) for name in names}
        values = sorted({value for of in counts.values() for value in of}, key=str)
        lines = [[str(value), *(f"{counts[name].get(value, 0):,}" for name in names)] for value in values]
        _print_table([column, *names], lines)


def _show_groups(splits: "Splits") -> None:
    import numpy as np

    from tfcass.splits.columns import encode_groups, group_values

    by = list(splits.recipe.group_by)
    lines = []
    for name in splits.names:
        groups = splits.columns(name, by)
        codes, count = encode_groups(groups, by)
        sizes = np.bincount(codes, minlength=count)
        (who,) = group_values(groups.slice(int(np.argmax(codes == sizes.argmax())), 1), by)
        sizes = np.sort(sizes[sizes > 0])
        cells = [len(sizes), sizes[0], int(np.median(sizes)), sizes[-1]]
        lines.append([name, *(f"{cell:,}" for cell in cells), str(who)])
    _print_table([f"by {', '.join(by)}", "groups", "smallest", "median", "largest", "which"], lines)


def _counts(splits: "Splits", name: str, column: str) -> dict[object, int]:
    values = splits.columns(name, [column]).column(column).value_counts()
    return {item["values"]: item["counts"] for item in values.to_pylist()}


def _print_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    shown = [list(header), *lines[:_MOST]]
    widths = [max(len(line[i]) for line in shown) for i in range(len(header))]
    print()
    for line in shown:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        print("  ".join(cells).rstrip())
    if len(lines) > _MOST:
        print(f"... and {len(lines) - _MOST} more; --json has all classes")
