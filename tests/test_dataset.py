"""CassandraDataset: keys in, exactly their rows out, in order, with the table's types."""

import uuid

import numpy as np
import pytest
import tensorflow as tf

import tfcass
from tests.support import fetch_rows
from tfcass.errors import KeyFormatError, OptionError, SchemaError

ROWS = 200


@pytest.fixture(scope="module")
def patches(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, ROWS) as table:
        yield table


def test_scalar_elements_come_in_key_order(patches):
    order = list(reversed(range(ROWS)))

    rows = list(patches.dataset(order))

    assert [int(row["label"]) for row in rows] == order
    assert [row["data"].numpy() for row in rows] == [patches.data[i] for i in order]
    assert np.array_equal([row["patch_id"].numpy() for row in rows], patches.keys[order])


def test_batches_come_in_key_order_and_the_last_holds_the_rest(patches):
    batches = list(patches.dataset(batch_size=64))

    assert [len(batch["label"]) for batch in batches] == [64, 64, 64, 8]
    assert fetch_rows.labels(batches) == patches.labels
    assert [data for batch in batches for data in batch["data"].numpy()] == patches.data
    assert np.array_equal(np.concatenate([batch["patch_id"] for batch in batches]), patches.keys)


def test_keys_of_three_dimensions_are_batches(patches):
    keys = patches.keys[:60].reshape(3, 20, 16)

    dataset = tfcass.CassandraDataset(keys, table=patches.table, cluster=patches.cluster)

    assert dataset.element_spec["label"].shape == [20]
    assert fetch_rows.labels(dataset) == patches.labels[:60]


def test_a_key_may_be_asked_for_twice(patches):
    assert fetch_rows.labels(patches.dataset([3, 3, 5, 3], batch_size=3)) == [3, 3, 5, 3]


@pytest.mark.parametrize(
    ("batch_size", "rows", "cardinality", "shape"),
    [(None, 10, 10, []), (5, 10, 2, [5]), (4, 10, 3, [None]), (64, 10, 1, [None]), (None, 0, 0, []), (4, 0, 0, [4])],
)
def test_cardinality_and_element_spec_are_known_beforehand(patches, batch_size, rows, cardinality, shape):
    dataset = patches.dataset(slice(0, rows), batch_size=batch_size)

    assert dataset.cardinality() == cardinality
    assert dataset.element_spec == {
        "data": tf.TensorSpec(shape, tf.string),
        "label": tf.TensorSpec(shape, tf.int32),
        "patch_id": tf.TensorSpec([*shape, 16], tf.uint8),
    }
    for element in dataset:
        assert all(dataset.element_spec[name].is_compatible_with(value) for name, value in element.items())


def test_an_empty_key_list_is_an_empty_dataset(patches):
    assert list(tfcass.CassandraDataset(tfcass.keys([]), table=patches.table, cluster=patches.cluster)) == []


def test_only_the_asked_columns_come(patches):
    (row,) = patches.dataset([4], columns=["label"])
    (with_key,) = patches.dataset([4], columns=["patch_id", "label"])

    assert set(row) == set(with_key) == {"patch_id", "label"}


def test_ten_thousand_rows_equal_what_was_written(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, 10_000) as many:
        order = np.random.default_rng(3).permutation(10_000)

        batches = list(many.dataset(order, batch_size=256).as_numpy_iterator())

    assert np.array_equal(np.concatenate([batch["label"] for batch in batches]), order)
    assert [data for batch in batches for data in batch["data"]] == [many.data[i] for i in order]


def test_every_column_type_becomes_its_dtype(cassandra, cassandra_session, keyspace):
    types = "blob text varchar ascii tinyint smallint int bigint float double boolean uuid timeuuid".split()
    other, timed = uuid.uuid4(), uuid.uuid1()
    low = [b"\0\xff", "grüße", "", "plain", -128, -(2**15), -(2**31), -(2**63), 1.5, -0.1, True, other, timed]
    high = [b"", "", "x", "~", 127, 2**15 - 1, 2**31 - 1, 2**63 - 1, float("inf"), 1e300, False, other, timed]
    ids = [uuid.uuid4(), uuid.uuid4()]
    table = f"{keyspace}.every_type"
    columns = ", ".join(f"c_{name} {name}" for name in types)
    cassandra_session.execute(f"CREATE TABLE {table} (id uuid PRIMARY KEY, {columns})")
    names = ", ".join(f"c_{name}" for name in types)
    insert = f"INSERT INTO {table} (id, {names}) VALUES (?{', ?' * len(types)})"
    fetch_rows.write(cassandra_session, insert, [(ids[0], *low), (ids[1], *high)])

    dataset = tfcass.CassandraDataset(
        tfcass.keys(ids), table=table, cluster=cassandra, columns=[f"c_{name}" for name in types], batch_size=2
    )
    (batch,) = dataset.as_numpy_iterator()

    texts = {"blob", "text", "varchar", "ascii"}
    for name, *values in zip(types, low, high, strict=True):
        column = batch[f"c_{name}"]
        if name in texts:
            assert column.tolist() == [v if isinstance(v, bytes) else v.encode() for v in values]
        elif name in ("uuid", "timeuuid"):
            assert column.dtype == np.uint8 and [bytes(v) for v in column] == [v.bytes for v in values]
        else:
            assert column.dtype.name == {"tinyint": "int8", "smallint": "int16", "int": "int32", "bigint": "int64"}.get(
                name, {"float": "float32", "double": "float64", "boolean": "bool"}.get(name)
            )
            assert column.tolist() == values


def test_names_that_need_quotes_are_read(cassandra, cassandra_session, keyspace):
    key = uuid.uuid4()
    cassandra_session.execute(f'CREATE TABLE {keyspace}."Mixed" ("Id" uuid PRIMARY KEY, "the Label" int, "order" text)')
    insert = f'INSERT INTO {keyspace}."Mixed" ("Id", "the Label", "order") VALUES (?, ?, ?)'
    fetch_rows.write(cassandra_session, insert, [(key, 7, "seven")])

    (row,) = tfcass.CassandraDataset(
        tfcass.keys([key]), table=f'{keyspace}."Mixed"', cluster=cassandra, columns=["the Label", "order"]
    )

    assert set(row) == {"Id", "the Label", "order"}
    assert row["the Label"] == 7 and row["order"] == b"seven"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (np.zeros((3, 16), np.int64), "int64 of shape [3, 16]"),
        (np.zeros((3, 15), np.uint8), "uint8 of shape [3, 15]"),
        (np.zeros(16, np.uint8), "one key is keys[None]"),
        (np.zeros((1, 2, 3, 16), np.uint8), "uint8 of shape [1, 2, 3, 16]"),
        (np.array([b"0123456789abcdef"], "S16"), "drop trailing zeros"),
        (np.array(["0b9f2a52-7e43-5d4a-9c3e-6f2f0a1b2c3d"]), "tfcass.keys(...)"),
        ([uuid.UUID(int=1)], "tfcass.keys(...)"),
        (["0b9f2a52-7e43-5d4a-9c3e-6f2f0a1b2c3d"], "tfcass.keys(...)"),
    ],
    ids=lambda value: str(getattr(value, "dtype", type(value).__name__)),
)
def test_keys_of_another_form_are_refused(patches, keys, said):
    with pytest.raises(KeyFormatError) as caught:
        tfcass.CassandraDataset(keys, table=patches.table, cluster=patches.cluster)

    assert said in str(caught.value)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, "64"])
def test_a_bad_batch_size_is_refused(patches, batch_size):
    with pytest.raises(OptionError, match="batch_size="):
        patches.dataset(batch_size=batch_size)


def test_batching_batches_is_refused(patches):
    with pytest.raises(OptionError, match="batches already"):
        tfcass.CassandraDataset(
            patches.keys[:60].reshape(3, 20, 16), table=patches.table, cluster=patches.cluster, batch_size=4
        )


def test_options_and_cluster_of_another_type_are_refused(patches):
    with pytest.raises(OptionError, match="FetchOptions"):
        patches.dataset(options={"missing": "skip"})
    with pytest.raises(OptionError, match="tfcass.Cluster"):
        tfcass.CassandraDataset(patches.keys, table=patches.table, cluster="127.0.0.1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"table": "{keyspace}.data_by_uid"}, "did you mean 'data_by_uuid'"),
        ({"table": "{keyspace}x.data_by_uuid"}, "did you mean '{keyspace}'"),
        ({"table": "data_by_uuid"}, "as in 'wsi.data_by_uuid'"),
        ({"columns": ["labels"]}, "did you mean 'label'"),
        ({"columns": "label"}, "columns=('label',)"),
        ({"columns": ["label", "label"]}, "more than once"),
    ],
    ids=["table", "keyspace", "no keyspace", "column", "columns as text", "column twice"],
)
def test_unknown_names_are_refused_with_names_near_them(patches, change, said):
    table = change.get("table", patches.table).format(keyspace=patches.keyspace)

    with pytest.raises(SchemaError) as caught:
        tfcass.CassandraDataset(
            patches.keys, table=table, cluster=patches.cluster, columns=change.get("columns", ["label"])
        )

    assert said.format(keyspace=patches.keyspace) in str(caught.value)


def test_tables_that_cannot_be_fetched_from_are_refused(cassandra, cassandra_session, keyspace):
    for definition, said in [
        ("a (k text PRIMARY KEY, label int)", "key column k is text"),
        ("b (k uuid, x int, label int, PRIMARY KEY (k, x))", "not one uuid column"),
        ("c (k uuid PRIMARY KEY, label list<int>)", "column label of .* is list<int>"),
    ]:
        cassandra_session.execute(f"CREATE TABLE {keyspace}.{definition}")
        with pytest.raises(SchemaError, match=said):
            tfcass.CassandraDataset(
                tfcass.keys([]), table=f"{keyspace}.{definition[0]}", cluster=cassandra, columns=["label"]
            )
