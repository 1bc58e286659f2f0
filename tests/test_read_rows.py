"""tfcass.read_rows: every row once, typed, filtered as asked, from a real server."""

import dataclasses
import datetime
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import tfcass
from tests.support.proxy import proxy_of
from tfcass import _ops, _scan, _scan_library
from tfcass.schema import METADATA_COLUMNS, create_tables, describe_table

PATCHES = 1_000


def patch_id(number: int) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, str(number))


@pytest.fixture(scope="module")
def ks(cassandra: tfcass.Cluster, cassandra_session) -> Iterator[str]:
    """The name of a keyspace with both tables, empty; tests add tables of their own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    create_tables(cassandra, name)
    yield name
    cassandra_session.execute(f"DROP KEYSPACE {name}")


@pytest.fixture(scope="module")
def patches(cassandra_session, ks: str) -> str:
    """A metadata table of PATCHES rows: patient p<n % 7>, slide n % 3, label n % 2, x = n, no mpp where n % 5 == 0."""
    insert = cassandra_session.prepare(
        f"INSERT INTO {ks}.metadata_by_nat "
        "(patient_id, slide_num, label, x, y, patch_id, slide, level, mpp, tissue) "
        "VALUES (?, ?, ?, ?, 0, ?, 's.tif', 1, ?, 0.5)"
    )
    writes = [
        cassandra_session.execute_async(
            insert, (f"p{n % 7}", n % 3, n % 2, n, patch_id(n), None if n % 5 == 0 else 0.25)
        )
        for n in range(PATCHES)
    ]
    for write in writes:
        write.result()
    return f"{ks}.metadata_by_nat"


def test_every_row_comes_exactly_once(cassandra: tfcass.Cluster, patches: str) -> None:
    rows = tfcass.read_rows(patches, cluster=cassandra)

    assert sorted(rows["x"].to_pylist()) == list(range(PATCHES))
    assert set(rows["patch_id"].to_pylist()) == {patch_id(n).bytes for n in range(PATCHES)}
    types = {
        "text": pa.string(),
        "int": pa.int32(),
        "uuid": pa.binary(16),
        "double": pa.float64(),
        "float": pa.float32(),
    }
    assert {name: rows.schema.field(name).type for name in rows.schema.names} == {
        name: types[column.cql_type] for name, column in METADATA_COLUMNS.items()
    }


def test_rows_come_in_the_order_of_their_tokens_each_time(
    cassandra: tfcass.Cluster, cassandra_session, patches: str
) -> None:
    query = f"SELECT token(patient_id, slide_num, label), x FROM {patches}"
    by_token = [x for _, x in cassandra_session.execute(query)]

    assert tfcass.read_rows(patches, cluster=cassandra)["x"].to_pylist() == by_token
    assert tfcass.read_rows(patches, cluster=cassandra)["x"].to_pylist() == by_token


def test_nulls_stay_null(cassandra: tfcass.Cluster, patches: str) -> None:
    rows = tfcass.read_rows(patches, cluster=cassandra, columns=["x", "mpp"])

    assert {x for x, mpp in zip(*rows.to_pydict().values(), strict=True) if mpp is None} == set(range(0, PATCHES, 5))


def test_columns_come_in_the_order_asked(cassandra: tfcass.Cluster, patches: str) -> None:
    rows = tfcass.read_rows(patches, cluster=cassandra, columns=["patch_id", "label"], where={"x": [3, 5]})

    assert rows.schema.names == ["patch_id", "label"]
    assert sorted(rows["patch_id"].to_pylist()) == sorted([patch_id(3).bytes, patch_id(5).bytes])


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"label": 1}, lambda n: n % 2 == 1),
        ({"label": [0, 1]}, lambda n: True),
        ({"label": [1, 1]}, lambda n: n % 2 == 1),
        ({"label": []}, lambda n: False),
        ({"label": 5}, lambda n: False),
        ({"level": 1, "mpp": 0.25}, lambda n: n % 5 != 0),
        ({"mpp": [0.25, 0.5]}, lambda n: n % 5 != 0),
        ({"patient_id": "p1"}, lambda n: n % 7 == 1),
        ({"patient_id": ("p1", "p2"), "level": 1}, lambda n: n % 7 in (1, 2)),
        ({"x": range(10, 20)}, lambda n: 10 <= n < 20),
        ({"x": np.arange(10, 20)}, lambda n: 10 <= n < 20),
        ({"x": np.int64(12)}, lambda n: n == 12),
        ({"patient_id": "p1", "slide_num": 0, "label": 1}, lambda n: n % 7 == 1 and n % 3 == 0 and n % 2 == 1),
        ({"patient_id": ["p1", "p2"], "slide_num": [0, 1], "label": 1, "x": [1, 9, 15]}, lambda n: n in (1, 9, 15)),
        ({"patient_id": "p1", "slide_num": [0, 1, 2], "label": [0, 1], "x": 8}, lambda n: n == 8),
        ({"patient_id": "p1", "slide_num": [0, 1, 2], "label": [0, 1], "mpp": 0.25}, lambda n: n % 7 == 1 and n % 5),
        ({"patch_id": patch_id(17)}, lambda n: n == 17),
        ({"patch_id": str(patch_id(17))}, lambda n: n == 17),
        ({"patch_id": tfcass.keys([patch_id(17)])[0]}, lambda n: n == 17),
        ({"patch_id": tfcass.keys([patch_id(17), patch_id(18)])}, lambda n: n in (17, 18)),
        ({"patch_id": [patch_id(17).bytes, patch_id(19)]}, lambda n: n in (17, 19)),
        (("x >= ? AND x < ?", [10, 20]), lambda n: 10 <= n < 20),
        (("mpp = ? AND label = ?", [0.25, 1]), lambda n: n % 5 != 0 and n % 2 == 1),
        (("x < 5", []), lambda n: n < 5),
        ({}, lambda n: True),
    ],
)
def test_where_keeps_the_rows_that_meet_all_of_it(
    cassandra: tfcass.Cluster, patches: str, where: dict, expected: object
) -> None:
    rows = tfcass.read_rows(patches, cluster=cassandra, columns=["x"], where=where)

    assert sorted(rows["x"].to_pylist()) == [n for n in range(PATCHES) if expected(n)]


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ({"lable": 1}, tfcass.SchemaError, "has no column 'lable' .* did you mean 'label'"),
        ({"label": "tumor"}, tfcass.SchemaError, r"where=\{'label': 'tumor'\}: the value does not fit .* is int"),
        ({"label": 1.5}, tfcass.SchemaError, "does not fit the column, which is int"),
        ({"label": 2**31}, tfcass.SchemaError, "does not fit the column, which is int"),
        ({"slide": 7}, tfcass.SchemaError, "does not fit the column, which is text"),
        ({"patch_id": "p17"}, tfcass.SchemaError, "does not fit the column, which is uuid"),
        ({"patch_id": b"short"}, tfcass.SchemaError, "does not fit the column, which is uuid"),
        ({"label": None}, tfcass.OptionError, "a null equals nothing"),
        ({"label": [1, None]}, tfcass.OptionError, "a null equals nothing"),
        ("label = 1", tfcass.OptionError, "must map columns to values"),
        (("lable = ?", [1]), tfcass.OptionError, r"where=\('lable = \?', \.\.\.\): the server refuses it: .*lable"),
        (("label = = ?", [1]), tfcass.OptionError, "the server refuses it: "),
        (("label = ?", ["tumor"]), tfcass.OptionError, "the values do not fit"),
        (("label = ?", []), tfcass.OptionError, "must be a value, and not None, for each question mark"),
        (("label = ?", [1, 2]), tfcass.OptionError, "the values do not fit"),
        ((" ", []), tfcass.OptionError, "the CQL is empty"),
    ],
)
def test_a_condition_that_cannot_be_is_refused(
    cassandra: tfcass.Cluster, patches: str, where: object, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        tfcass.read_rows(patches, cluster=cassandra, where=where)


def test_an_unknown_consistency_lists_the_choices() -> None:
    with pytest.raises(tfcass.OptionError, match="consistency='SOME' must be one of 'LOCAL_ONE'"):
        tfcass.read_rows("ks.t", cluster=tfcass.Cluster(["node1.invalid"]), consistency="SOME")


def test_an_empty_table_gives_no_rows_of_its_schema(cassandra: tfcass.Cluster, ks: str) -> None:
    rows = tfcass.read_rows(f"{ks}.data_by_uuid", cluster=cassandra)

    assert rows.num_rows == 0
    assert {field.name: field.type for field in rows.schema} == {
        "patch_id": pa.binary(16),
        "label": pa.int32(),
        "data": pa.binary(),
    }


def test_all_types_keep_their_extreme_values(cassandra: tfcass.Cluster, cassandra_session, ks: str) -> None:
    cassandra_session.execute(
        f"CREATE TABLE {ks}.types (id uuid PRIMARY KEY, a ascii, b bigint, c blob, d boolean, e double, f float, "
        "g smallint, h tinyint, i timeuuid, j timestamp, k date, l inet, m text)"
    )
    moment = datetime.datetime(1969, 12, 31, 23, 59, 59, 999_000)
    written = {
        "id": uuid.UUID(int=0),
        "a": "",
        "b": -(2**63),
        "c": b"\x00\xff\x00",
        "d": False,
        "e": -0.1,
        "f": 0.5,
        "g": -(2**15),
        "h": -(2**7),
        "i": uuid.UUID("50554d6e-29bb-11e5-b345-feff819cdc9f"),
        "j": moment,
        "k": datetime.date(1066, 10, 14),
        "l": "10.0.0.1",
        "m": "Ωμ",
    }
    marks = ", ".join("?" * len(written))
    insert = cassandra_session.prepare(f"INSERT INTO {ks}.types ({', '.join(written)}) VALUES ({marks})")
    cassandra_session.execute(insert, list(written.values()))

    rows = tfcass.read_rows(f"{ks}.types", cluster=cassandra, columns=list(written))

    assert rows.to_pylist() == [
        written | {"id": written["id"].bytes, "i": written["i"].bytes, "j": moment.replace(tzinfo=datetime.UTC)}
    ]
    for column, value in written.items():
        found = tfcass.read_rows(f"{ks}.types", cluster=cassandra, columns=["b"], where={column: value})
        assert found.num_rows == 1, column


def test_a_column_that_arrow_cannot_hold_is_named(cassandra: tfcass.Cluster, cassandra_session, ks: str) -> None:
    cassandra_session.execute(f"CREATE TABLE {ks}.with_list (id uuid PRIMARY KEY, v int, bag list<int>)")

    with pytest.raises(tfcass.SchemaError, match=rf"column bag of {ks}.with_list is list<int>, .* pass columns="):
        tfcass.read_rows(f"{ks}.with_list", cluster=cassandra)
    assert tfcass.read_rows(f"{ks}.with_list", cluster=cassandra, columns=["v"]).num_rows == 0


def test_case_sensitive_names_are_read(cassandra: tfcass.Cluster, cassandra_session, ks: str) -> None:
    cassandra_session.execute(f'CREATE TABLE {ks}."Mixed" ("patchId" uuid PRIMARY KEY, "select" int)')
    cassandra_session.execute(f'INSERT INTO {ks}."Mixed" ("patchId", "select") VALUES (uuid(), 3)')

    rows = tfcass.read_rows(f'{ks}."Mixed"', cluster=cassandra, columns=["select"], where={"select": 3})

    assert rows.to_pydict() == {"select": [3]}


def test_a_cluster_that_goes_silent_is_one_error(
    cassandra: tfcass.Cluster, patches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_scan, "_PAGE_TIMEOUT_S", 1.0)
    with proxy_of((cassandra.contact_points[0], cassandra.port)) as proxy:
        there = tfcass.Cluster(["127.0.0.1"], port=proxy.port)
        assert tfcass.read_rows(patches, cluster=there).num_rows == PATCHES
        monkeypatch.setattr(_scan, "describe_table", lambda *_, **__: describe_table(cassandra, patches))
        proxy.stall()

        with pytest.raises(tfcass.ClusterError, match=f"a page of {patches}: .* attempt.* check the load of the nodes"):
            tfcass.read_rows(patches, cluster=there)


def test_the_password_in_the_clear_reaches_the_library(secure_cassandra) -> None:
    secure = secure_cassandra
    with_password = tfcass.PasswordAuth(secure.username, password=secure.password)
    cluster = dataclasses.replace(secure.cluster, auth=with_password)

    assert tfcass.read_rows("system_schema.keyspaces", cluster=cluster, columns=["keyspace_name"]).num_rows > 0


def test_no_tensorflow_is_loaded(cassandra: tfcass.Cluster, patches: str) -> None:
    program = f"""
import sys, tfcass
cluster = tfcass.Cluster({list(cassandra.contact_points)!r}, port={cassandra.port})
rows = tfcass.read_rows({patches!r}, cluster=cluster)
print(rows.num_rows, "tensorflow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert done.stdout == f"{PATCHES} False\n", done.stderr


def test_without_the_library_the_error_says_how_to_get_it(
    cassandra: tfcass.Cluster, patches: str, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setattr(_ops, "_places", lambda: [tmp_path])
    _scan_library._library.cache_clear()
    try:
        with pytest.raises(tfcass.OpLibraryError, match=r"_tfcass_scan.so is not in .*; build it .* `make setup`"):
            tfcass.read_rows(patches, cluster=cassandra)
    finally:
        _scan_library._library.cache_clear()


def test_without_the_driver_the_error_says_how_to_get_it(cassandra: tfcass.Cluster, patches: str, tmp_path) -> None:
    program = f"""
import tfcass
cluster = tfcass.Cluster({list(cassandra.contact_points)!r}, port={cassandra.port})
try:
    tfcass.read_rows({patches!r}, cluster=cluster)
except tfcass.OpLibraryError as error:
    print(error)
"""
    env = os.environ | {"TFCASS_DRIVER": str(tmp_path / "absent.so")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=env)

    assert "absent.so" in done.stdout and "TFCASS_DRIVER" in done.stdout, done.stderr


def test_the_rows_go_straight_into_keys(cassandra: tfcass.Cluster, patches: str) -> None:
    rows = tfcass.read_rows(patches, cluster=cassandra, columns=["patch_id", "x"])

    ordered = rows.take(pc.sort_indices(rows["x"]))
    keys = np.frombuffer(b"".join(ordered["patch_id"].to_pylist()), np.uint8).reshape(-1, 16)
    assert (keys == tfcass.keys(patch_id(n) for n in range(PATCHES))).all()
