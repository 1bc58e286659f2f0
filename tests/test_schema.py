"""tfcass.schema: our tables on a real server, what a live table is told to be, and errors that say what to do."""

import uuid
from collections.abc import Iterator

import pyarrow as pa
import pytest

import tfcass
from tfcass import _describe
from tfcass.schema import (
    DATA_COLUMNS,
    METADATA_COLUMNS,
    ColumnSpec,
    check,
    create_tables,
    describe_table,
    find_problems,
)


@pytest.fixture(scope="module")
def tables(cassandra: tfcass.Cluster, cassandra_session) -> Iterator[str]:
    """The name of a keyspace with both tables, for tests that only look at them or add a table of their own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    create_tables(cassandra, name)
    yield name
    cassandra_session.execute(f"DROP KEYSPACE {name}")


def columns_of(cluster: tfcass.Cluster, table: str) -> dict[str, str]:
    described = describe_table(cluster, table, refresh=True)
    return {column.name: column.cql_type for column in described.columns.values()}


def test_tables_are_created_as_declared(cassandra: tfcass.Cluster, keyspace: str) -> None:
    create_tables(cassandra, keyspace)

    metadata = describe_table(cassandra, f"{keyspace}.metadata_by_nat")
    data = describe_table(cassandra, f"{keyspace}.data_by_uuid")
    assert {name: column.cql_type for name, column in metadata.columns.items()} == {
        "patient_id": "text",
        "slide_num": "int",
        "label": "int",
        "x": "int",
        "y": "int",
        "patch_id": "uuid",
        "slide": "text",
        "level": "int",
        "mpp": "double",
        "tissue": "float",
        "share_normal": "float",
        "share_tumor": "float",
        "inner_normal": "float",
        "inner_tumor": "float",
        "centre_label": "int",
        "sharpness": "float",
        "pen": "float",
        "white": "float",
        "black": "float",
    }
    assert metadata.partition_key == ("patient_id", "slide_num", "label")
    assert metadata.primary_key == ("patient_id", "slide_num", "label", "x", "y")
    assert metadata.key_column is None
    assert {name: column.cql_type for name, column in data.columns.items()} == {
        "patch_id": "uuid",
        "label": "int",
        "data": "blob",
    }
    assert data.key_column == "patch_id"
    assert set(metadata.columns) == set(METADATA_COLUMNS) and set(data.columns) == set(DATA_COLUMNS)


def test_creating_twice_keeps_the_rows(cassandra: tfcass.Cluster, cassandra_session, keyspace: str) -> None:
    create_tables(cassandra, keyspace)
    cassandra_session.execute(f"INSERT INTO {keyspace}.data_by_uuid (patch_id, label) VALUES (uuid(), 1)")

    create_tables(cassandra, keyspace)

    assert cassandra_session.execute(f"SELECT count(*) FROM {keyspace}.data_by_uuid").one()[0] == 1


def replication_of(session, keyspace: str) -> dict[str, str]:
    query = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s"
    return dict(session.execute(query, (keyspace,)).one().replication)


@pytest.fixture
def fresh_name(cassandra_session, keyspace: str):
    """The name of a keyspace that is not there, dropped afterwards."""
    name = f"{keyspace}_new"
    yield name
    cassandra_session.execute(f"DROP KEYSPACE IF EXISTS {name}")


def test_a_new_keyspace_is_replicated_in_every_datacenter_as_far_as_it_has_nodes(
    cassandra: tfcass.Cluster, cassandra_session, fresh_name: str
) -> None:
    create_tables(cassandra, fresh_name)

    hosts = cassandra_session.cluster.metadata.all_hosts()
    expected = {host.datacenter: str(min(3, len(hosts))) for host in hosts}  # One datacenter.
    replication = replication_of(cassandra_session, fresh_name)
    assert replication.pop("class").endswith(".NetworkTopologyStrategy")
    assert replication == expected


def test_replication_may_be_given_in_full(cassandra: tfcass.Cluster, cassandra_session, fresh_name: str) -> None:
    create_tables(cassandra, fresh_name, replication={"class": "SimpleStrategy", "replication_factor": 2})

    replication = replication_of(cassandra_session, fresh_name)
    assert replication["class"].endswith(".SimpleStrategy") and replication["replication_factor"] == "2"


@pytest.mark.parametrize(
    ("replication", "message"),
    [
        ({}, "must map datacenters to copies"),
        ("dc1:3", "must map datacenters to copies"),
        ({"dc_far": 1}, "names 'dc_far', which is not a datacenter of this cluster"),
        ({"class": "SimpleStrategy", "replication_factor": 1.5}, r"replication\['replication_factor'\]=1.5"),
    ],
)
def test_replication_that_cannot_be_is_refused(
    cassandra: tfcass.Cluster, fresh_name: str, replication: object, message: str
) -> None:
    with pytest.raises(tfcass.OptionError, match=message):
        create_tables(cassandra, fresh_name, replication=replication)


def test_what_the_server_refuses_is_told_in_its_own_words(cassandra: tfcass.Cluster, fresh_name: str) -> None:
    with pytest.raises(tfcass.SchemaError, match="the server refuses `CREATE KEYSPACE .*Unable to find replication"):
        create_tables(cassandra, fresh_name, replication={"class": "Nowhere"})


def test_masks_as_labels_and_other_names(cassandra: tfcass.Cluster, keyspace: str) -> None:
    create_tables(cassandra, keyspace, metadata_table="meta", data_table="masks", label_type="blob")

    assert columns_of(cassandra, f"{keyspace}.masks")["label"] == "blob"
    check(cassandra, keyspace, metadata_table="meta", data_table="masks")
    check(cassandra, keyspace, metadata_table="meta", data_table="masks", label_type="blob")
    with pytest.raises(tfcass.SchemaError, match=f"column label of {keyspace}.masks is blob, and must be int"):
        check(cassandra, keyspace, metadata_table="meta", data_table="masks", label_type="int")


@pytest.mark.parametrize("name", ["", "1ks", "k s", "k-s", 'k"; DROP KEYSPACE x; --', "k" * 49, None])
def test_names_that_cassandra_does_not_take_are_refused_before_connecting(name: object) -> None:
    nowhere = tfcass.Cluster(["node1.invalid"])

    with pytest.raises(tfcass.OptionError, match="letters, digits and _"):
        create_tables(nowhere, name)
    with pytest.raises(tfcass.OptionError, match="data_table=.*letters, digits and _"):
        create_tables(nowhere, "ks", data_table=name)


def test_an_unknown_label_type_is_refused() -> None:
    with pytest.raises(tfcass.OptionError, match="label_type='text' must be one of 'int', 'blob'"):
        create_tables(tfcass.Cluster(["node1.invalid"]), "ks", label_type="text")


def test_check_names_an_absent_table_and_its_statement_mends_it(
    cassandra: tfcass.Cluster, cassandra_session, keyspace: str
) -> None:
    create_tables(cassandra, keyspace)
    cassandra_session.execute(f"DROP TABLE {keyspace}.metadata_by_nat")

    (problem,) = find_problems(cassandra, keyspace)
    absent, _, remedy = problem.partition(": ")
    cassandra_session.execute(remedy)

    assert absent == f"table {keyspace}.metadata_by_nat is absent"
    assert find_problems(cassandra, keyspace) == []


def test_creating_adds_the_columns_that_an_older_table_lacks_and_keeps_its_rows(
    cassandra: tfcass.Cluster, cassandra_session, keyspace: str
) -> None:
    create_tables(cassandra, keyspace)
    cassandra_session.execute(f"ALTER TABLE {keyspace}.metadata_by_nat DROP (sharpness, tissue)")
    key = "(patient_id, slide_num, label, x, y) VALUES ('Ann', 1, 0, 2, 3)"
    cassandra_session.execute(f"INSERT INTO {keyspace}.metadata_by_nat {key}")

    more = {"share_stroma": ColumnSpec("float", "of a class of the user's own")}
    create_tables(cassandra, keyspace, slides_table="slides", more_columns=more)

    names = columns_of(cassandra, f"{keyspace}.metadata_by_nat")
    assert (names["sharpness"], names["tissue"], names["share_stroma"]) == ("float", "float", "float")
    (row,) = cassandra_session.execute(f"SELECT x, sharpness, share_stroma FROM {keyspace}.metadata_by_nat")
    assert tuple(row) == (2, None, None)
    assert describe_table(cassandra, f"{keyspace}.slides").primary_key == ("patient_id", "slide_num")


def test_check_does_without_optional_columns(cassandra: tfcass.Cluster, cassandra_session, keyspace: str) -> None:
    create_tables(cassandra, keyspace)
    cassandra_session.execute(f"ALTER TABLE {keyspace}.metadata_by_nat DROP sharpness")

    assert find_problems(cassandra, keyspace) == []


def test_check_names_an_absent_column_and_its_statement_mends_it(
    cassandra: tfcass.Cluster, cassandra_session, keyspace: str
) -> None:
    create_tables(cassandra, keyspace)
    cassandra_session.execute(f"ALTER TABLE {keyspace}.metadata_by_nat DROP tissue")
    cassandra_session.execute(f"ALTER TABLE {keyspace}.metadata_by_nat ADD stain text")  # More is no problem.

    (problem,) = find_problems(cassandra, keyspace)
    absent, _, remedy = problem.partition(": ")
    cassandra_session.execute(remedy)

    assert absent == f"table {keyspace}.metadata_by_nat has no column tissue"
    check(cassandra, keyspace)


def test_check_lists_every_difference(cassandra: tfcass.Cluster, cassandra_session, keyspace: str) -> None:
    create_tables(cassandra, keyspace)
    cassandra_session.execute(f"DROP TABLE {keyspace}.data_by_uuid")
    cassandra_session.execute(f"CREATE TABLE {keyspace}.data_by_uuid (patch_id text PRIMARY KEY, data text)")

    with pytest.raises(tfcass.SchemaError) as raised:
        check(cassandra, keyspace)

    text = str(raised.value)
    assert f"column patch_id of {keyspace}.data_by_uuid is text, and must be uuid" in text
    assert f"ALTER TABLE {keyspace}.data_by_uuid ADD label int;" in text
    assert f"column data of {keyspace}.data_by_uuid is text, and must be blob" in text


def test_a_key_in_another_order_is_a_difference(cassandra: tfcass.Cluster, cassandra_session, keyspace: str) -> None:
    cassandra_session.execute(
        f"CREATE TABLE {keyspace}.data_by_uuid (patch_id uuid, label int, data blob, PRIMARY KEY (patch_id, label))"
    )

    with pytest.raises(tfcass.SchemaError, match=r"is \(patch_id, label\), and must be \(patch_id\)"):
        create_tables(cassandra, keyspace)


def test_check_of_an_absent_keyspace_suggests_a_near_one_and_how_to_make_it(
    cassandra: tfcass.Cluster, tables: str
) -> None:
    misspelt = tables[:-1] + "zz"

    with pytest.raises(tfcass.SchemaError) as raised:
        check(cassandra, misspelt)

    assert f"has no keyspace '{misspelt}'" in str(raised.value)
    assert f"did you mean '{tables}'" in str(raised.value)
    assert f"`tfcass schema create {misspelt}`" in str(raised.value)


def test_every_type_that_tensorflow_holds_is_mapped(cassandra: tfcass.Cluster, cassandra_session, tables: str) -> None:
    expected = {
        "ascii": ("string", (), pa.string()),
        "bigint": ("int64", (), pa.int64()),
        "blob": ("string", (), pa.binary()),
        "boolean": ("bool", (), pa.bool_()),
        "double": ("float64", (), pa.float64()),
        "float": ("float32", (), pa.float32()),
        "int": ("int32", (), pa.int32()),
        "smallint": ("int16", (), pa.int16()),
        "text": ("string", (), pa.string()),
        "timeuuid": ("uint8", (16,), pa.binary(16)),
        "tinyint": ("int8", (), pa.int8()),
        "uuid": ("uint8", (16,), pa.binary(16)),
        "timestamp": (None, (), pa.timestamp("ms", tz="UTC")),
        "list<int>": (None, (), None),
        "decimal": (None, (), None),
    }
    names = {f"c{position}": cql_type for position, cql_type in enumerate(expected)}
    declared = ", ".join(f"{name} {cql_type}" for name, cql_type in names.items())
    cassandra_session.execute(f"CREATE TABLE {tables}.types (id uuid PRIMARY KEY, {declared})")

    table = describe_table(cassandra, f"{tables}.types")

    found = {c.cql_type: (c.dtype, c.shape, c.arrow) for c in table.select(list(names))}
    assert found == expected


@pytest.mark.parametrize("name", ["data_by_uuid", "", "a.b.c", ".t", "ks.", "ks.t; DROP TABLE ks.t", None, 5])
def test_a_table_name_of_another_form_is_refused_before_connecting(name: object) -> None:
    with pytest.raises(tfcass.SchemaError, match="must name keyspace and table, as in 'wsi.data_by_uuid'"):
        describe_table(tfcass.Cluster(["node1.invalid"]), name)


def test_an_unknown_keyspace_suggests_one_near(cassandra: tfcass.Cluster, tables: str) -> None:
    with pytest.raises(tfcass.SchemaError) as raised:
        describe_table(cassandra, f"{tables}x.data_by_uuid")

    assert f"the cluster has no keyspace '{tables}x'" in str(raised.value)
    assert f"did you mean '{tables}'" in str(raised.value)
    assert "system_auth" not in str(raised.value)


def test_an_unknown_table_suggests_one_near(cassandra: tfcass.Cluster, tables: str) -> None:
    with pytest.raises(tfcass.SchemaError) as raised:
        describe_table(cassandra, f"{tables}.data_by_uid")

    assert str(raised.value).startswith(f"keyspace {tables} has no table 'data_by_uid' (it has: ")
    assert "metadata_by_nat" in str(raised.value) and "did you mean 'data_by_uuid'" in str(raised.value)


def test_an_unknown_column_suggests_one_near(cassandra: tfcass.Cluster, tables: str) -> None:
    table = describe_table(cassandra, f"{tables}.data_by_uuid")

    with pytest.raises(tfcass.SchemaError) as raised:
        table.select(["data", "lable"])

    assert str(raised.value) == (
        f"table {tables}.data_by_uuid has no column 'lable' (it has: data, label, patch_id); did you mean 'label'?"
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("label", r"pass columns=\('label',\)"),
        ([], "columns is empty; .* has: data, label, patch_id"),
        (["label", "data", "label"], "asks for label more than once"),
        ([None], "has no column 'None'"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(
    cassandra: tfcass.Cluster, tables: str, names: object, message: str
) -> None:
    with pytest.raises(tfcass.SchemaError, match=message):
        describe_table(cassandra, f"{tables}.data_by_uuid").select(names)


def test_case_sensitive_names_and_reserved_words_are_quoted(
    cassandra: tfcass.Cluster, cassandra_session, tables: str
) -> None:
    cassandra_session.execute(f'CREATE TABLE {tables}."Mixed" ("patchId" uuid PRIMARY KEY, "select" int, plain int)')

    table = describe_table(cassandra, f'{tables}."Mixed"')

    assert table == describe_table(cassandra, f"{tables}.Mixed"), "quotes may be left out where nothing else is meant"
    assert table.name == f"{tables}.Mixed"
    assert table.cql_name == f'{tables}."Mixed"'
    assert [c.cql_name for c in table.select(["patchId", '"select"', "PLAIN"])] == ['"patchId"', '"select"', "plain"]
    with pytest.raises(tfcass.SchemaError, match="did you mean 'Mixed'"):
        describe_table(cassandra, f"{tables}.mixed")


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        ("id text PRIMARY KEY, v int", "its key column id is text, not uuid"),
        ("id uuid, n int, v int, PRIMARY KEY (id, n)", r"is not one uuid column \(partition key: id uuid\)"),
        ("a uuid, b uuid, PRIMARY KEY ((a, b))", r"is not one uuid column \(partition key: a uuid, b uuid\)"),
    ],
)
def test_a_table_without_a_uuid_key_cannot_be_fetched_from(
    cassandra: tfcass.Cluster, cassandra_session, tables: str, ddl: str, message: str
) -> None:
    name = f"{tables}.t{uuid.uuid4().hex[:8]}"
    cassandra_session.execute(f"CREATE TABLE {name} ({ddl})")

    with pytest.raises(tfcass.SchemaError, match=f"rows of {name} cannot be fetched by UUID: .*{message}"):
        describe_table(cassandra, name).uuid_key()


def test_a_description_is_asked_for_once_in_a_while_and_refreshed_on_demand(
    cassandra: tfcass.Cluster, cassandra_session, tables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_describe, "_CACHE_S", 600)
    opened = []
    session = tfcass.Cluster.session
    monkeypatch.setattr(tfcass.Cluster, "session", lambda self: opened.append(self) or session(self))
    cassandra_session.execute(f"CREATE TABLE {tables}.t (id uuid PRIMARY KEY)")

    first = describe_table(cassandra, f"{tables}.t")
    cassandra_session.execute(f"ALTER TABLE {tables}.t ADD more int")
    again = describe_table(cassandra, f"{tables}.t")
    assert first is again and len(opened) == 1

    assert list(describe_table(cassandra, f"{tables}.t", refresh=True).columns) == ["id", "more"]
