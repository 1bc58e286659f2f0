"""Cluster.session() against real servers, and against what is none: one clear error each, in bounded time."""

import dataclasses
import logging
import multiprocessing
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tfcass
from tests.support.proxy import proxy_of
from tests.support.servers import SecureCassandra
from tfcass.devcluster import tls as devcluster_tls


def connect(cluster: tfcass.Cluster) -> str:
    """The name of the datacenter, from a session that opens for this."""
    with cluster.session() as session:
        return session.execute("SELECT data_center FROM system.local").one().data_center


@contextmanager
def listener(reply: bytes | None, address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[int]:
    """A port whose connections get `reply` and are closed, or with None are accepted and left in silence."""
    with socket.create_server(address) as server:
        held = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # The test is over.
                    return
                if reply is None:
                    held.append(connection)
                else:
                    with connection:
                        connection.recv(9)
                        connection.sendall(reply)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        for connection in held:
            connection.close()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_session_runs_statements_and_is_closed_on_exit(cassandra: tfcass.Cluster) -> None:
    with cassandra.session() as session:
        assert session.execute("SELECT release_version FROM system.local").one().release_version
    assert session.is_shutdown and session.cluster.is_shutdown


def test_without_local_dc_that_of_the_contact_point_is_taken_and_logged(
    cassandra: tfcass.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tfcass")

    datacenter = connect(dataclasses.replace(cassandra, local_dc=None))

    assert f"stay in the datacenter '{datacenter}'" in caplog.text


def test_an_unknown_local_dc_lists_those_that_are(cassandra: tfcass.Cluster) -> None:
    datacenter = connect(cassandra)

    with pytest.raises(tfcass.ClusterError) as raised:
        connect(dataclasses.replace(cassandra, local_dc="dc_far"))

    assert f"local_dc='dc_far' is not a datacenter of this cluster (it has: '{datacenter}'" in str(raised.value)


def test_a_wrong_port_is_named(capfd: pytest.CaptureFixture) -> None:
    port = closed_port()

    with pytest.raises(tfcass.ClusterError) as raised:
        connect(tfcass.Cluster(["127.0.0.1"], port=port))

    assert f"cannot reach Cassandra at 127.0.0.1:{port}: connection refused; is it running" in str(raised.value)
    assert type(raised.value) is tfcass.ClusterError
    assert capfd.readouterr() == ("", ""), "the driver's own complaints are not shown"


@pytest.mark.parametrize("host", ["node1.invalid", "node1..invalid"])
def test_an_unknown_host_is_named(host: str) -> None:
    with pytest.raises(tfcass.ClusterError, match=f"the host name '{host}' is unknown"):
        connect(tfcass.Cluster([host], connect_timeout_s=20))


def test_a_server_that_stays_silent_fails_within_the_timeout() -> None:
    with listener(None) as port:
        started = time.monotonic()
        with pytest.raises(tfcass.ClusterError, match=f"no answer from 127.0.0.1:{port} in time"):
            connect(tfcass.Cluster(["127.0.0.1"], port=port, connect_timeout_s=0.5))

    assert time.monotonic() - started < 8, "the default would take 10 s"


def test_a_server_of_another_kind_is_recognised() -> None:
    with listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        with pytest.raises(tfcass.ClusterError, match=f"what answers at 127.0.0.1:{port} is not Cassandra's CQL"):
            connect(tfcass.Cluster(["127.0.0.1"], port=port))


def test_every_contact_point_that_fails_is_told() -> None:
    with pytest.raises(tfcass.ClusterError) as raised:
        connect(tfcass.Cluster(["127.0.0.1", "node1.invalid"], port=closed_port(), connect_timeout_s=20))

    assert "127.0.0.1" in str(raised.value) and "node1.invalid" in str(raised.value)


def test_a_silent_contact_point_beside_a_live_one_neither_fails_nor_delays(cassandra: tfcass.Cluster) -> None:
    (live,) = cassandra.contact_points
    with listener(None, ("127.0.0.7", cassandra.port)):
        started = time.monotonic()

        connect(dataclasses.replace(cassandra, contact_points=["127.0.0.7", live], connect_timeout_s=30))

    assert time.monotonic() - started < 10


def test_an_unusable_contact_point_beside_a_live_one_is_logged(
    cassandra: tfcass.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    (live,) = cassandra.contact_points

    connect(dataclasses.replace(cassandra, contact_points=["127.0.0.8", live]))

    assert f"cannot reach Cassandra at 127.0.0.8:{cassandra.port}: connection refused" in caplog.text


def test_credentials_for_a_server_that_asks_for_none_do_no_harm(cassandra: tfcass.Cluster) -> None:
    assert connect(dataclasses.replace(cassandra, auth=tfcass.PasswordAuth("anyone", password="x")))


def test_a_missing_password_is_said_before_anything_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("READER_PW", raising=False)
    auth = tfcass.PasswordAuth("reader", password_env="READER_PW")

    with pytest.raises(tfcass.OptionError, match="READER_PW is not set"):
        connect(tfcass.Cluster(["127.0.0.1"], port=closed_port(), auth=auth))


def test_tls_towards_a_plain_server_is_recognised(cassandra: tfcass.Cluster) -> None:
    with pytest.raises(tfcass.TlsError, match="speaks no TLS on this port, and TLS settings were given"):
        connect(dataclasses.replace(cassandra, tls=tfcass.Tls()))


def test_the_drivers_errors_leave_a_session_as_ours(cassandra: tfcass.Cluster) -> None:
    from cassandra import OperationTimedOut
    from cassandra.cluster import NoHostAvailable

    for error in (OperationTimedOut("too slow"), NoHostAvailable("all down", {"127.0.0.1": OSError("gone")})):
        with pytest.raises(tfcass.ClusterError, match=f"the cluster at 127.0.0.1:{cassandra.port}") as raised:
            with cassandra.session():
                raise error
        assert ("too slow" in str(raised.value)) != ("gone" in str(raised.value))


def test_a_refused_statement_leaves_a_session_as_a_schema_error(cassandra: tfcass.Cluster) -> None:
    with pytest.raises(tfcass.SchemaError, match="refused a statement: .*no_such_table"):
        with cassandra.session() as session:
            session.execute("SELECT * FROM system.no_such_table")


def test_a_forked_child_opens_its_own_session(cassandra: tfcass.Cluster) -> None:
    with cassandra.session() as session:
        child = multiprocessing.get_context("fork").Process(target=connect, args=(cassandra,))
        child.start()
        child.join(30)

        assert child.exitcode == 0
        assert session.execute("SELECT key FROM system.local").one()


def test_errors_of_the_callers_own_pass_through_a_session(cassandra: tfcass.Cluster) -> None:
    with pytest.raises(KeyError, match="mine"):
        with cassandra.session():
            raise KeyError("mine")


def test_the_drivers_log_level_is_as_before(cassandra: tfcass.Cluster) -> None:
    logger = logging.getLogger("cassandra")
    before = logger.level

    connect(cassandra)

    assert logger.level == before


def test_a_secure_server_lets_good_credentials_in(secure_cassandra: SecureCassandra) -> None:
    assert connect(secure_cassandra.cluster)


def test_a_wrong_password_names_the_user_and_where_the_password_came_from(
    secure_cassandra: SecureCassandra, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("WRONG_PW", "swordfish")
    auth = tfcass.PasswordAuth(secure_cassandra.username, password_env="WRONG_PW")

    with pytest.raises(tfcass.AuthenticationError) as raised:
        connect(dataclasses.replace(secure_cassandra.cluster, auth=auth))

    assert f"refused user '{secure_cassandra.username}'" in str(raised.value)
    assert "the environment variable WRONG_PW" in str(raised.value)
    assert "swordfish" not in str(raised.value) + repr(raised.value.__context__)
    assert capfd.readouterr() == ("", "")


def test_a_server_that_wants_credentials_says_so_when_none_are_given(secure_cassandra: SecureCassandra) -> None:
    with pytest.raises(tfcass.AuthenticationError, match="wants a user and password, and none were given; pass"):
        connect(dataclasses.replace(secure_cassandra.cluster, auth=None))


def test_a_forbidden_statement_names_the_user_and_the_right(secure_cassandra: SecureCassandra) -> None:
    with secure_cassandra.cluster.session() as session:
        session.execute("CREATE ROLE IF NOT EXISTS guest WITH PASSWORD = 'guest' AND LOGIN = true")
    guest = dataclasses.replace(secure_cassandra.cluster, auth=tfcass.PasswordAuth("guest", password="guest"))

    with pytest.raises(tfcass.ClusterError, match="forbids this to user 'guest': .*CREATE permission"):
        tfcass.schema.create_tables(guest, "guests_own")

    with secure_cassandra.cluster.session() as session:
        session.execute("DROP ROLE guest")


def test_an_authority_that_did_not_sign_is_recognised(secure_cassandra: SecureCassandra, tmp_path: Path) -> None:
    devcluster_tls.ensure(tmp_path, ["127.0.0.1"])
    stranger = tfcass.Tls(ca=devcluster_tls.ca_file(tmp_path))

    for tls in (stranger, tfcass.Tls(), dataclasses.replace(stranger, verify_hostname=False)):
        with pytest.raises(tfcass.TlsError, match=r"signed by an authority that is not trusted .*Tls\(ca="):
            connect(dataclasses.replace(secure_cassandra.cluster, tls=tls))


def test_an_authoritys_file_that_is_gone_by_now_is_named(secure_cassandra: SecureCassandra, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Path(secure_cassandra.ca).read_bytes())
    cluster = dataclasses.replace(secure_cassandra.cluster, tls=tfcass.Tls(ca=ca))
    ca.unlink()

    with pytest.raises(tfcass.OptionError, match="ca.pem"):
        connect(cluster)


def test_a_certificate_for_another_address_lists_those_it_is_for(secure_cassandra: SecureCassandra) -> None:
    with proxy_of((secure_cassandra.host, secure_cassandra.port), listen_on="127.0.0.9") as proxy:
        elsewhere = dataclasses.replace(secure_cassandra.cluster, contact_points=["127.0.0.9"], port=proxy.port)

        with pytest.raises(tfcass.TlsError) as raised:
            connect(elsewhere)

    assert f"the certificate of 127.0.0.9:{proxy.port} is not for 127.0.0.9, but for " in str(raised.value)
    assert secure_cassandra.host in str(raised.value) and "Tls(verify_hostname=False)" in str(raised.value)


def test_without_hostname_verification_another_address_will_do(secure_cassandra: SecureCassandra) -> None:
    with proxy_of((secure_cassandra.host, secure_cassandra.port), listen_on="127.0.0.9") as proxy:
        elsewhere = dataclasses.replace(
            secure_cassandra.cluster,
            contact_points=["127.0.0.9"],
            port=proxy.port,
            tls=tfcass.Tls(secure_cassandra.ca, verify_hostname=False),
            auth=tfcass.PasswordAuth("nobody", password="x"),
        )

        with pytest.raises(tfcass.AuthenticationError):  # Past the handshake.
            connect(elsewhere)


def test_a_server_that_wants_a_client_certificate_says_so(tmp_path: Path) -> None:
    devcluster_tls.ensure(tmp_path, ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(devcluster_tls.node_file(tmp_path, 1))
    context.load_verify_locations(devcluster_tls.ca_file(tmp_path))
    context.verify_mode = ssl.CERT_REQUIRED

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(connection, server_side=True)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        # TLS 1.3: the client is through the handshake when the server refuses, by an alert or just by closing.
        with pytest.raises(tfcass.TlsError, match=r"want.* a client certificate.*Tls\(cert="):
            tls = tfcass.Tls(devcluster_tls.ca_file(tmp_path))
            connect(tfcass.Cluster(["127.0.0.1"], port=server.getsockname()[1], tls=tls))


def test_a_server_that_speaks_only_tls_is_recognised(secure_cassandra: SecureCassandra) -> None:
    with pytest.raises(tfcass.TlsError, match="speaks TLS, and no TLS settings were given; pass"):
        connect(dataclasses.replace(secure_cassandra.cluster, tls=None))
