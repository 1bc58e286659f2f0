"""`tfcass schema`: the keyspace and the two tables."""

from typing import TYPE_CHECKING, Annotated

import typer

from tfcass.cli.connection import takes_cluster

if TYPE_CHECKING:
    import tfcass

app = typer.Typer(no_args_is_help=True, help="Create or check the keyspace and its tables.")

_Keyspace = Annotated[str, typer.Argument(help="Name of the keyspace.")]
_MetadataTable = Annotated[str, typer.Option(help="Table of the patches.")]
_DataTable = Annotated[str, typer.Option(help="Table of their bytes.")]


@app.command()
@takes_cluster
def create(
    keyspace: _Keyspace,
    cluster: "tfcass.Cluster",
    replicas: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DC=COPIES",
            help="Copies in a datacenter; repeatable. (default: 3 in each, if it has as many nodes)",
        ),
    ] = None,
    metadata_table: _MetadataTable = "metadata_by_nat",
    data_table: _DataTable = "data_by_uuid",
    label_type: Annotated[str, typer.Option(help="int: a class. blob: a PNG mask, for segmentation.")] = "int",
) -> None:
    """Create what is absent of the keyspace and its tables. Harmless to repeat."""
    from tfcass.schema import create_tables

    create_tables(
        cluster,
        keyspace,
        replication=_replication(replicas),
        metadata_table=metadata_table,
        data_table=data_table,
        label_type=label_type,
    )
    print(f"{keyspace} has {metadata_table} and {data_table}")


@app.command()
@takes_cluster
def check(
    keyspace: _Keyspace,
    cluster: "tfcass.Cluster",
    metadata_table: _MetadataTable = "metadata_by_nat",
    data_table: _DataTable = "data_by_uuid",
) -> None:
    """Say whether the keyspace has both tables as tfcass needs them, and if not, how to mend them."""
    from tfcass.schema import check as check_tables

    check_tables(cluster, keyspace, metadata_table=metadata_table, data_table=data_table)
    print(f"{keyspace}: {metadata_table} and {data_table} are as they should be")


def _replication(replicas: list[str] | None) -> dict[str, int] | None:
    if not replicas:
        return None
    pairs = [text.partition("=") for text in replicas]
    for (datacenter, _, copies), text in zip(pairs, replicas, strict=True):
        if not datacenter or not copies.isascii() or not copies.isdigit() or int(copies) < 1:
            raise typer.BadParameter(f"--replicas {text!r} is not DC=COPIES, as in dc1=3")
    return {datacenter: int(copies) for datacenter, _, copies in pairs}
