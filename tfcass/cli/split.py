"""`tfcass split`: makes splits of the rows of a table, or of a Parquet file, and saves them."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfcass.cli.connection import takes_cluster

if TYPE_CHECKING:
    import pyarrow as pa

    import tfcass

_TABLE = re.compile(r"\w+\.\w+")
_WHICH, _CLASSES, _SPLITS, _MANY = "Which rows", "Classes", "Splits", "How many"


@takes_cluster
def split(
    source: Annotated[str, typer.Argument(help="KEYSPACE.TABLE of metadata, or a Parquet file or folder.")],
    out: Annotated[Path, typer.Argument(help="Folder to save the splits in.")],
    cluster: "tfcass.Cluster",
    ratios: Annotated[
        str | None, typer.Option(help="Names and weights, as train=8,val=1,test=1.", rich_help_panel=_SPLITS)
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Instead of ratios: folds of cross-validation.", rich_help_panel=_SPLITS)
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Repetitions of the folds, saved in OUT/repeat0 ...", rich_help_panel=_SPLITS)
    ] = None,
    group_by: Annotated[
        list[str] | None, typer.Option(help="Column whose rows stay together; repeatable.", rich_help_panel=_SPLITS)
    ] = None,
    bag: Annotated[
        list[str] | None,
        typer.Option(metavar="SPLIT=GROUP", help="A group that must be there; repeatable.", rich_help_panel=_SPLITS),
    ] = None,
    cover: Annotated[
        list[str] | None,
        typer.Option(help="Column of which every value must be in every split; repeatable.", rich_help_panel=_SPLITS),
    ] = None,
    stratify: Annotated[
        list[str] | None,
        typer.Option(help="Column whose proportions are kept; repeatable.", rich_help_panel=_SPLITS),
    ] = None,
    absent: Annotated[
        str, typer.Option(help="error, or report: state which classes are in which split not.", rich_help_panel=_SPLITS)
    ] = "error",
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Error if the share of a class is further than this from its ratio.", rich_help_panel=_SPLITS
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides ties and draws.", rich_help_panel=_SPLITS)] = 0,
    extend: Annotated[
        Path | None,
        typer.Option(help="Folder of splits to add new rows of SOURCE to; no old row moves.", rich_help_panel=_SPLITS),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of classes; several of 0 and 1: multi-label. (default: label)", rich_help_panel=_CLASSES
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Classes to take, as 0,1; others are left out.", rich_help_panel=_CLASSES)
    ] = None,
    label_map: Annotated[
        list[str] | None,
        typer.Option(metavar="VALUE=CLASS", help="Repeatable; VALUE= leaves its rows out.", rich_help_panel=_CLASSES),
    ] = None,
    num_classes: Annotated[
        int | None, typer.Option(help="Check that classes are 0 .. N - 1, all there.", rich_help_panel=_CLASSES)
    ] = None,
    quantiles: Annotated[
        int | None, typer.Option(help="The label is a number: stratify on so many ranges.", rich_help_panel=_CLASSES)
    ] = None,
    weight: Annotated[
        str | None, typer.Option(help="Column: proportions of its sums, not of rows.", rich_help_panel=_CLASSES)
    ] = None,
    key: Annotated[str, typer.Option(help="Column of UUIDs.", rich_help_panel=_WHICH)] = "patch_id",
    columns: Annotated[
        str | None, typer.Option(help="Columns to read and keep, as a,b. (default: all)", rich_help_panel=_WHICH)
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(help="Condition, as \"level == 1 and site in ('A', 'B')\".", rich_help_panel=_WHICH),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Only such rows; repeatable.", rich_help_panel=_WHICH),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="No such rows; repeatable.", rich_help_panel=_WHICH),
    ] = None,
    max_patches: Annotated[
        str | None, typer.Option(help="Rows in all, as 50000; or by split, as val=500.", rich_help_panel=_MANY)
    ] = None,
    balance: Annotated[
        str | None, typer.Option(help="equal; or weights of classes, as 0=1,1=3.", rich_help_panel=_MANY)
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=ROWS", help="Rows of a class, or SPLIT:CLASS=ROWS; repeatable.", rich_help_panel=_MANY
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace splits that OUT has.")] = False,
) -> None:
    """Split rows into disjoint sets, no group in two of them, each with the same classes; show and save them."""
    from tfcass.cli.progress import progress
    from tfcass.errors import SplitError
    from tfcass.splits import Splits, repeated_folds
    from tfcass.splits import split as make
    from tfcass.splits.store import MANIFEST

    folders = [out] if repeats is None else [out / f"repeat{i}" for i in range(max(0, repeats))]
    for folder in folders:
        if (folder / MANIFEST).exists() and not replace:
            raise SplitError(f"{folder} holds splits already; pass --replace, or choose another folder")
    if repeats is not None and folds is None:
        raise typer.BadParameter("--repeats needs --folds")
    with progress() as tell:
        tell(f"reading {source}")
        rows = read_source(source, cluster, columns)
        tell(f"placing {rows.num_rows:,} rows")
        chosen = {
            "where": where,
            "include": _values_by_column("--include", include, rows),
            "exclude": _values_by_column("--exclude", exclude, rows),
        }
        if extend is not None:
            if ratios or folds or label or group_by:
                raise typer.BadParameter("--extend takes ratios, folds, label and groups from the splits")
            made = [Splits.load(extend).extend(rows, **chosen)]
        else:
            label_columns = label or ["label"]
            as_class = _class_parser(rows, label_columns, mapped=bool(label_map))
            options: dict[str, Any] = {
                **chosen,
                "group_by": group_by,
                "bags": _bags(bag, rows, group_by or []),
                "cover": cover,
                "stratify": stratify,
                "absent": absent,
                "tolerance": tolerance,
                "seed": seed,
                "label": label_columns[0] if len(label_columns) == 1 else label_columns,
                "labels": None if labels is None else [as_class(text) for text in labels.split(",")],
                "label_map": _label_map(label_map, rows, label_columns[0]),
                "num_classes": num_classes,
                "quantiles": quantiles,
                "weight": weight,
                "key": key,
                "max_patches": _max_patches(max_patches),
                "balance": _balance(balance, as_class),
                "targets": _targets(target, as_class),
            }
            if repeats is not None:
                made = repeated_folds(rows, folds=folds, repeats=repeats, **options)
            else:
                made = [make(rows, ratios=_numbers("--ratios", ratios), folds=folds, **options)]
        for splits, folder in zip(made, folders, strict=True):
            tell(f"saving {folder}")
            splits.save(folder)
    for splits, folder in zip(made, folders, strict=True):
        print(splits.report())
        print(f"saved in {folder}, digest {splits.digest[:12]}")


def read_source(source: str, cluster: "tfcass.Cluster", columns: str | None = None) -> "pa.Table":
    """The rows of a table or of Parquet files.

    Raises:
      SplitError: It is neither.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tfcass.errors import SplitError
    from tfcass.splits.naming import choices

    names = columns.split(",") if columns else None
    path = Path(source)
    if path.exists():
        try:
            schema = pq.ParquetDataset(path).schema
            for name in names or []:
                if name not in schema.names:
                    raise SplitError(f"--columns: {name!r} is not a column of {source} {choices(name, schema.names)}")
            return pq.read_table(path, columns=names)
        except (pa.ArrowException, OSError) as error:
            raise SplitError(f"{source} cannot be read as Parquet: {error}") from error
    if not _TABLE.fullmatch(source) or source.endswith(".parquet"):
        raise SplitError(f"{source!r} is no file or folder, and no KEYSPACE.TABLE; pass one of them")
    import tfcass

    return tfcass.read_rows(source, cluster=cluster, columns=names)


def _pairs(option: str, texts: Sequence[str] | None, form: str) -> list[tuple[str, str]]:
    pairs = []
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{option} {text!r} is not {form}")
        pairs.append((name, value))
    return pairs


def _numbers(option: str, text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    numbers: dict[str, float] = {}
    for name, value in _pairs(option, text.split(","), "NAME=WEIGHT,..., as train=8,val=2"):
        if name in numbers:
            raise typer.BadParameter(f"{option} names {name!r} twice")
        try:
            numbers[name] = float(value)
        except ValueError:
            raise typer.BadParameter(f"{option} {name}={value!r}: not a number") from None
    return numbers


def _count(option: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise typer.BadParameter(f"{option} {text!r}: not a number of rows")
    return int(text)


def _max_patches(text: str | None) -> int | dict[str, int] | None:
    if text is None:
        return None
    if "=" not in text:
        return _count("--max-patches", text)
    form = "ROWS, or SPLIT=ROWS,..."
    return {name: _count("--max-patches", rows) for name, rows in _pairs("--max-patches", text.split(","), form)}


def _balance(text: str | None, as_class: Callable[[str], object]) -> str | dict[object, float] | None:
    if text is None or "=" not in text:
        return text
    return {as_class(name): weight for name, weight in (_numbers("--balance", text) or {}).items()}


def _targets(texts: Sequence[str] | None, as_class: Callable[[str], object]) -> dict[object, object] | None:
    targets: dict[object, Any] = {}
    for name, rows in _pairs("--target", texts, "CLASS=ROWS or SPLIT:CLASS=ROWS"):
        where, colon, cls = name.rpartition(":")
        into = targets.setdefault(where, {}) if colon else targets
        into[as_class(cls)] = _count("--target", rows)
    return targets or None


def _label_map(texts: Sequence[str] | None, rows: "pa.Table", column: str) -> dict[object, object] | None:
    if not texts:
        return None
    return {
        _as_in(rows, column, value): _integer_or_text(cls) if cls else None
        for value, cls in _pairs("--label-map", texts, "VALUE=CLASS")
    }


def _bags(texts: Sequence[str] | None, rows: "pa.Table", group_by: Sequence[str]) -> dict[str, list[object]] | None:
    bags: dict[str, list[object]] = {}
    for name, group in _pairs("--bag", texts, "SPLIT=GROUP, with several columns SPLIT=VALUE,VALUE"):
        parts = group.split(",") if len(group_by) > 1 else [group]
        if len(group_by) > 1 and len(parts) != len(group_by):
            raise typer.BadParameter(
                f"--bag {name}={group!r}: {len(group_by)} columns make a group; give a value of each"
            )
        values = [_as_in(rows, column, part) for column, part in zip(group_by, parts, strict=False)] or parts
        bags.setdefault(name, []).append(tuple(values) if len(group_by) > 1 else values[0])
    return bags or None


def _values_by_column(option: str, texts: Sequence[str] | None, rows: "pa.Table") -> dict[str, list[object]] | None:
    chosen: dict[str, list[object]] = {}
    for column, value in _pairs(option, texts, "COLUMN=VALUE"):
        chosen.setdefault(column, []).append(_as_in(rows, column, value))
    return chosen or None


def _class_parser(rows: "pa.Table", columns: Sequence[str], *, mapped: bool) -> Callable[[str], object]:
    if mapped or len(columns) > 1:
        return _integer_or_text
    return lambda text: _as_in(rows, columns[0], text)


def _as_in(rows: "pa.Table", column: str, text: str) -> object:
    """The value of a column that `text` means; unknown columns are left to be told by what is asked of them."""
    import uuid

    import pyarrow as pa

    if column not in rows.column_names:
        return text
    kind = rows.schema.field(column).type
    if pa.types.is_dictionary(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    try:
        if kind == pa.binary(16):
            return uuid.UUID(text).bytes
        return pa.scalar(text).cast(kind).as_py()
    except (pa.ArrowException, ValueError):
        raise typer.BadParameter(f"{text!r} is no value of column {column!r}, which is {kind}") from None


def _integer_or_text(text: str) -> object:
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else text
