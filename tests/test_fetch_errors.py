"""Clusters that cannot be used as asked, seen by the schema lookup and by the op; secrets that must not show."""

import dataclasses
import socket
import time
import uuid

import numpy as np
import pytest
import tensorflow as tf

import tfcass
from tests.support import fetch_rows
from tests.support.proxy import proxy_of
from tfcass import dataset as dataset_module
from tfcass.devcluster import tls as devcluster_tls

KEY = tfcass.keys(["00000000-1111-4222-8333-444444444444"])
PASSWORD = "no-such-password-7f3a"


@pytest.fixture(scope="module")
def patches(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, 20) as table:
        yield table


@pytest.fixture(scope="module")
def secure_patches(secure_cassandra):
    with secure_cassandra.cluster.session() as session:
        with fetch_rows.patches(secure_cassandra.cluster, session, 20) as table:
            yield table


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory):
    """An authority that signed nothing on the server."""
    home = tmp_path_factory.mktemp("other_authority")
    devcluster_tls.ensure(home, ["127.0.0.1"])
    return devcluster_tls.ca_file(home)


def _op_with(patches, cluster):
    """A dataset whose schema came from a good cluster, and whose op connects to another."""
    plan = dataset_module._plan(patches.table, patches.cluster, ["label"], tfcass.FetchOptions())
    keys = tf.data.Dataset.from_tensor_slices(patches.keys)
    return dataset_module._FetchDataset(keys, dataclasses.replace(plan, cluster=cluster))


def _change(cluster, **fields):
    return dataclasses.replace(cluster, connect_timeout_s=5.0, **fields)


def test_a_port_where_nobody_listens(patches):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    nobody = tfcass.Cluster(["127.0.0.1"], port=port, connect_timeout_s=2.0)

    with pytest.raises(tfcass.ClusterError, match=str(port)):
        tfcass.CassandraDataset(KEY, table="ks.t", cluster=nobody)
    with pytest.raises(tf.errors.UnavailableError) as caught:
        next(iter(_op_with(patches, nobody)))

    assert "127.0.0.1" in str(caught.value) and str(port) in str(caught.value)


def test_a_host_that_has_no_address(patches):
    nowhere = tfcass.Cluster(["no-such-host.invalid"], connect_timeout_s=2.0)

    with pytest.raises(tf.errors.UnavailableError, match="no-such-host.invalid"):
        next(iter(_op_with(patches, nowhere)))


def test_a_port_that_takes_connections_and_says_nothing(patches):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = tfcass.Cluster(["127.0.0.1"], port=silent.getsockname()[1], connect_timeout_s=1.0)
        started = time.monotonic()

        with pytest.raises(tf.errors.UnavailableError):
            next(iter(_op_with(patches, mute)))

    assert time.monotonic() - started < 10


def test_an_empty_dataset_needs_no_connection(patches):
    nowhere = tfcass.Cluster(["127.0.0.1"], port=1)
    plan = dataset_module._plan(patches.table, patches.cluster, ["label"], tfcass.FetchOptions())
    none = tf.data.Dataset.from_tensor_slices(np.zeros([0, 16], np.uint8))

    assert list(dataset_module._FetchDataset(none, dataclasses.replace(plan, cluster=nowhere))) == []


def test_the_datacenter_must_exist(patches):
    elsewhere = _change(patches.cluster, local_dc="no_such_dc")

    with pytest.raises(tf.errors.OpError, match="no_such_dc"):
        next(iter(_op_with(patches, elsewhere)))


def test_a_table_that_was_dropped_meanwhile(cassandra, cassandra_session, keyspace):
    cassandra_session.execute(f"CREATE TABLE {keyspace}.gone (id uuid PRIMARY KEY, label int)")
    dataset = tfcass.CassandraDataset(KEY, table=f"{keyspace}.gone", cluster=cassandra, columns=["label"])
    cassandra_session.execute(f"DROP TABLE {keyspace}.gone")

    with pytest.raises(tf.errors.FailedPreconditionError, match="gone"):
        next(iter(dataset))


def test_a_column_whose_type_was_changed_meanwhile(cassandra, cassandra_session, keyspace):
    cassandra_session.execute(f"CREATE TABLE {keyspace}.changed (id uuid PRIMARY KEY, label int)")
    dataset = tfcass.CassandraDataset(KEY, table=f"{keyspace}.changed", cluster=cassandra, columns=["label"])
    cassandra_session.execute(f"DROP TABLE {keyspace}.changed")
    cassandra_session.execute(f"CREATE TABLE {keyspace}.changed (id uuid PRIMARY KEY, label text)")

    with pytest.raises(tf.errors.FailedPreconditionError, match="label"):
        next(iter(dataset))


def test_a_table_made_anew_with_other_types_is_read_by_a_dataset_made_anew(cassandra, cassandra_session, keyspace):
    def read(cql_type, value):
        cassandra_session.execute(f"CREATE TABLE {keyspace}.anew (id uuid PRIMARY KEY, label {cql_type})")
        cassandra_session.execute(
            f"INSERT INTO {keyspace}.anew (id, label) VALUES ({uuid.UUID(bytes=bytes(KEY[0]))}, {value})"
        )
        tfcass.schema.describe_table(cassandra, f"{keyspace}.anew", refresh=True)
        dataset = tfcass.CassandraDataset(KEY, table=f"{keyspace}.anew", cluster=cassandra, columns=["label"])
        label = next(iter(dataset))["label"].numpy()
        cassandra_session.execute(f"DROP TABLE {keyspace}.anew")
        return label

    assert [read("int", 7), read("text", "'abcd'"), read("int", 8)] == [7, b"abcd", 8]


# From here on: a server with password and TLS.


def test_the_right_credentials_read(secure_patches):
    assert fetch_rows.labels(secure_patches.dataset(batch_size=6)) == secure_patches.labels


def test_a_password_in_the_clear_reads(secure_patches, secure_cassandra):
    auth = tfcass.PasswordAuth(secure_cassandra.username, password=secure_cassandra.password)

    assert fetch_rows.labels(_op_with(secure_patches, _change(secure_cassandra.cluster, auth=auth))) == list(range(20))


@pytest.mark.parametrize("way", ["password", "password_env", "password_file"])
def test_a_wrong_password(secure_patches, secure_cassandra, monkeypatch, tmp_path, way):
    monkeypatch.setenv("TFCASS_TEST_PASSWORD", PASSWORD)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    value = {"password": PASSWORD, "password_env": "TFCASS_TEST_PASSWORD", "password_file": tmp_path / "password"}[way]
    auth = tfcass.PasswordAuth(secure_cassandra.username, **{way: value})
    wrong = _change(secure_cassandra.cluster, auth=auth)

    with pytest.raises(tfcass.AuthenticationError) as by_schema:
        tfcass.CassandraDataset(KEY, table=secure_patches.table, cluster=wrong)
    with pytest.raises(tf.errors.UnauthenticatedError) as by_op:
        next(iter(_op_with(secure_patches, wrong)))

    for caught in (by_schema, by_op):
        assert secure_cassandra.username in str(caught.value)
        assert PASSWORD not in str(caught.value)


def test_a_secret_that_is_not_there(secure_patches, secure_cassandra, monkeypatch):
    monkeypatch.delenv("TFCASS_TEST_PASSWORD", raising=False)
    auth = tfcass.PasswordAuth(secure_cassandra.username, password_env="TFCASS_TEST_PASSWORD")

    with pytest.raises(tf.errors.FailedPreconditionError, match="TFCASS_TEST_PASSWORD"):
        next(iter(_op_with(secure_patches, _change(secure_cassandra.cluster, auth=auth))))


def test_no_credentials(secure_patches, secure_cassandra):
    with pytest.raises(tf.errors.UnauthenticatedError):
        next(iter(_op_with(secure_patches, _change(secure_cassandra.cluster, auth=None))))


def test_a_certificate_of_another_authority(secure_patches, secure_cassandra, other_ca):
    wrong = _change(secure_cassandra.cluster, tls=tfcass.Tls(ca=other_ca))

    with pytest.raises(tfcass.TlsError):
        tfcass.CassandraDataset(KEY, table=secure_patches.table, cluster=wrong)
    with pytest.raises(tf.errors.OpError) as caught:
        next(iter(_op_with(secure_patches, wrong)))

    assert isinstance(caught.value, (tf.errors.UnauthenticatedError, tf.errors.UnavailableError))
    assert "certificate" in str(caught.value).lower()


def test_a_host_name_that_the_certificate_does_not_have(secure_patches, secure_cassandra):
    with proxy_of((secure_cassandra.host, secure_cassandra.port), listen_on="127.0.0.77") as proxy:
        other_name = _change(secure_cassandra.cluster, contact_points=["127.0.0.77"], port=proxy.port)

        with pytest.raises(tfcass.TlsError):
            tfcass.CassandraDataset(KEY, table=secure_patches.table, cluster=other_name)
        with pytest.raises(tf.errors.OpError) as caught:
            next(iter(_op_with(secure_patches, other_name)))

    assert isinstance(caught.value, (tf.errors.UnauthenticatedError, tf.errors.UnavailableError))
    assert "127.0.0.77" in str(caught.value)


def test_plain_talk_to_a_tls_server(secure_patches, secure_cassandra):
    with pytest.raises(tf.errors.UnavailableError):
        next(iter(_op_with(secure_patches, _change(secure_cassandra.cluster, tls=None))))


def test_secrets_show_nowhere(secure_patches, secure_cassandra, capfd):
    secret = secure_cassandra.password
    auth = tfcass.PasswordAuth(secure_cassandra.username, password=secret)
    dataset = _op_with(secure_patches, _change(secure_cassandra.cluster, auth=auth))

    fetch_rows.labels(dataset)
    graph = dataset._as_serialized_graph().numpy()

    assert b"TfcassFetchDataset" in graph
    assert secret.encode() not in graph
    assert secret not in repr(dataset) + repr(auth) + str(dataset.element_spec)
    assert secret not in "".join(capfd.readouterr())
