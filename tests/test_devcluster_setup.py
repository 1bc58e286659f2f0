"""What a development cluster needs before it starts: settings, Java, jars, ports, certificates."""

import dataclasses
import os
import socket
import stat
import sys
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from tfcass.devcluster import config, jars, ports, tls, tools
from tfcass.devcluster.java import Java, find_java
from tfcass.devcluster.settings import Settings
from tfcass.errors import DevClusterError, OptionError


def script(path: Path, text: str) -> Path:
    """Writes a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def java(path: Path, version: str) -> Path:
    return script(path, f"""echo 'openjdk version "{version}" 2025-04-15' >&2""")


@pytest.mark.parametrize(
    ("field", "value"),
    [("nodes", 0), ("nodes", 4), ("heap", "1"), ("heap", "1 GB"), ("heap", "-1g"), ("port", -1), ("port", 65536)],
)
def test_a_bad_setting_is_named_with_its_value(field, value):
    with pytest.raises(OptionError, match=f"{field}={value!r}"):
        Settings(**{field: value})


def test_an_address_for_a_proxy_goes_with_one_node():
    with pytest.raises(OptionError, match="advertise='127.0.0.9' goes with nodes=1, not 3"):
        Settings(nodes=3, advertise="127.0.0.9")


def test_clients_are_told_the_advertised_address(tmp_path):
    plain = node_config(tmp_path)
    proxied = dataclasses.replace(plain, settings=Settings(advertise="127.0.0.9"))

    assert "broadcast_rpc_address" not in config.cassandra_yaml(plain)
    content = config.cassandra_yaml(proxied)
    assert (content["broadcast_rpc_address"], content["rpc_address"]) == ("127.0.0.9", "127.0.0.1")


@given(nodes=st.integers(1, 3))
def test_each_node_has_an_address_of_its_own_on_loopback(nodes):
    hosts = Settings(nodes=nodes).hosts

    assert len(set(hosts)) == nodes
    assert all(host.startswith("127.0.0.") for host in hosts)


def test_java_17_is_preferred_wherever_it_is(tmp_path):
    java(tmp_path / "home" / "bin" / "java", "11.0.2")
    java(tmp_path / "path" / "java", "21.0.1")
    wanted = java(tmp_path / "jvm" / "java-17" / "bin" / "java", "17.0.15")

    found = find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "path")}, [tmp_path / "jvm"])

    assert found == Java(wanted, 17)


def test_java_11_will_do(tmp_path):
    wanted = java(tmp_path / "java", "11.0.2")

    assert find_java({"PATH": str(tmp_path)}, [tmp_path / "none"]) == Java(wanted, 11)


@pytest.mark.parametrize(("text", "version"), [("1.8.0_402", "8"), ("21.0.1", "21")])
def test_an_unfit_java_is_named_with_its_version_and_those_needed(tmp_path, text, version):
    path = java(tmp_path / "java", text)

    with pytest.raises(DevClusterError, match=f"only Java {version} at {path}; Cassandra needs Java 17 or 11"):
        find_java({"PATH": str(tmp_path)}, [tmp_path / "none"])


def test_no_java_says_where_it_was_looked_for_and_how_to_get_one(tmp_path):
    with pytest.raises(DevClusterError, match="no Java found .*JAVA_HOME, PATH.*apt-get install"):
        find_java({"PATH": str(tmp_path)}, [tmp_path / "none"])


def test_a_java_that_does_not_run_is_passed_over(tmp_path):
    script(tmp_path / "java", "exit 1")

    with pytest.raises(DevClusterError, match="no Java found"):
        find_java({"PATH": str(tmp_path)}, [tmp_path / "none"])


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TFCASS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fake_maven(tmp_path: Path, monkeypatch, text: str) -> Path:
    """Puts a program `mvn` first on PATH; it counts its runs in the file `runs`."""
    script(tmp_path / "bin" / "mvn", f'echo run >> "{tmp_path / "runs"}"\n{text}')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path / "runs"


DOWNLOAD = """
for word in "$@"; do
  case $word in -DoutputDirectory=*) folder=${word#*=};; -Dcassandra.version=*) version=${word#*=};; esac
done
mkdir -p "$folder"; echo jar > "$folder/cassandra-all-$version.jar"
"""


def test_jars_are_fetched_once(tmp_path, cache, monkeypatch):
    runs = fake_maven(tmp_path, monkeypatch, DOWNLOAD)
    told = []

    folder = jars.ensure_jars(told.append)
    again = jars.ensure_jars(told.append)

    assert folder == again == cache / "cassandra" / jars.CASSANDRA_VERSION
    assert (folder / f"cassandra-all-{jars.CASSANDRA_VERSION}.jar").read_text() == "jar\n"
    assert runs.read_text() == "run\n"
    assert len(told) == 1


def test_maven_that_fails_is_quoted_and_leaves_nothing(tmp_path, cache, monkeypatch):
    fake_maven(tmp_path, monkeypatch, "echo '[ERROR] no route to the repository'; exit 3")

    with pytest.raises(DevClusterError, match=r"exit status 3\):\n.*no route to the repository"):
        jars.ensure_jars()

    assert [path.name for path in (cache / "cassandra").iterdir()] == [".lock"]


def test_maven_that_fetches_nothing_is_not_believed(tmp_path, cache, monkeypatch):
    fake_maven(tmp_path, monkeypatch, "exit 0")

    with pytest.raises(DevClusterError, match="could not fetch"):
        jars.ensure_jars()


def test_absent_maven_says_how_to_get_it(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(DevClusterError, match="Maven .*not on PATH.*apt-get install maven"):
        jars.ensure_jars()


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("TFCASS_CACHE", str(tmp_path / "cache"))
    fake_maven(tmp_path, monkeypatch, DOWNLOAD)

    with pytest.raises(DevClusterError, match=f"cannot write .*{tmp_path}/cache.*set TFCASS_CACHE"):
        jars.ensure_jars()


def test_the_program_that_fetches_jars_fails_in_one_line(tmp_path, cache, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))

    assert jars.main() == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_port_in_use_is_reported_with_the_process_that_holds_it():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        with pytest.raises(
            DevClusterError, match=rf"CQL port {port} on 127.0.0.1 is in use by .+ \(pid \d+\)"
        ) as caught:
            ports.require_free("127.0.0.1", port, purpose="CQL")

    assert f"pid {os.getpid()}" in str(caught.value)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(DevClusterError, match="cannot listen on 192.0.2.1:9042"):
        ports.require_free("192.0.2.1", 9042, purpose="CQL")


def test_a_free_port_can_be_listened_on_at_every_address():
    hosts = ["127.0.0.1", "127.0.0.2"]

    port = ports.free_port(hosts)

    for host in hosts:
        socket.create_server((host, port)).close()


HOSTS = ["127.0.0.1", "127.0.0.2"]


def test_each_certificate_names_every_node_and_localhost(tmp_path):
    tls.ensure(tmp_path, HOSTS)

    for number in (1, 2):
        certificate = x509.load_pem_x509_certificate(tls.node_file(tmp_path, number).read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == HOSTS
        assert names.get_values_for_type(x509.DNSName) == ["localhost"]
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(tls.ca_file(tmp_path).read_bytes()))


def test_keys_are_readable_by_their_owner_only(tmp_path):
    tls.ensure(tmp_path, HOSTS)

    assert stat.S_IMODE(tls.node_file(tmp_path, 1).stat().st_mode) == 0o600


def test_certificates_are_kept(tmp_path):
    tls.ensure(tmp_path, HOSTS)
    before = tls.ca_file(tmp_path).read_bytes()

    tls.ensure(tmp_path, HOSTS)

    assert tls.ca_file(tmp_path).read_bytes() == before


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"-----BEGIN CERT")])
def test_certificates_that_are_absent_or_damaged_are_made_again(tmp_path, damage):
    tls.ensure(tmp_path, HOSTS)
    damage(tls.node_file(tmp_path, 2))

    tls.ensure(tmp_path, HOSTS)

    x509.load_pem_x509_certificate(tls.node_file(tmp_path, 2).read_bytes())


def node_config(tmp_path: Path, **settings) -> config.NodeConfig:
    return config.NodeConfig(tmp_path, tmp_path / "node1", 1, Settings(**settings), 9042, 7000, 7199)


def test_a_row_of_16_mib_fits_the_limits(tmp_path):
    content = config.cassandra_yaml(node_config(tmp_path))

    assert content["commitlog_segment_size"] == "64MiB"  # Half of it is the largest mutation.
    assert content["native_transport_max_request_data_in_flight_per_ip"] == "256MiB"


def test_the_command_carries_the_marker_by_which_the_node_is_known(tmp_path):
    (tmp_path / "jamm-0.4.0.jar").touch()
    node = node_config(tmp_path, heap="2g")

    command = config.java_command(node, Java(Path(sys.executable), 17), tmp_path)

    assert node.marker in command
    assert {"-Xms2g", "-Xmx2g"} <= set(command)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_has_no_room_for_the_settings_of_cqlsh_is_named(tmp_path):
    (tmp_path / "cqlshrc").symlink_to("/dev/full")  # Each write there fails as on a full disk.

    with pytest.raises(DevClusterError, match=f"cannot write {tmp_path / 'cqlshrc'}: No space left on device"):
        tools._cqlshrc(tmp_path)
