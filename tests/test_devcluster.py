"""A development cluster from start to wipe, and what goes wrong on the way. Starts nodes of its own."""

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import tfcass
from tests.support import rings, servers
from tfcass.devcluster import DevCluster, Settings, cluster, superuser, tls
from tfcass.errors import AuthenticationError, DevClusterError, TlsError

SMALL = Settings(port=0, heap="512m")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory):
    """A node that the tests of this module stop, kill and start again; each leaves it running."""
    with servers.running(tmp_path_factory.mktemp("own") / "home", SMALL) as running:
        yield running


def pid(running: DevCluster) -> int:
    return running.status()[0].pid


def rows(running: DevCluster, statement: str) -> list:
    with running.connect().session() as session:
        return list(session.execute(statement))


@pytest.mark.cassandra
def test_a_second_up_with_the_same_settings_changes_nothing(own_cluster):
    before = pid(own_cluster)

    assert own_cluster.up(SMALL) is False
    assert pid(own_cluster) == before


@pytest.mark.cassandra
def test_up_with_other_settings_is_refused_while_it_runs(own_cluster):
    before = pid(own_cluster)

    with pytest.raises(DevClusterError, match=r"other settings \(heap=512m, asked 2g\).*tfcass dev down"):
        own_cluster.up(Settings(port=0, heap="2g"))

    assert pid(own_cluster) == before


@pytest.mark.cassandra
def test_status_tells_state_address_process_and_log(own_cluster):
    (node,) = own_cluster.status()

    assert (node.number, node.host, node.state) == (1, "127.0.0.1", "up")
    assert str(own_cluster.home) in " ".join(psutil.Process(node.pid).cmdline())
    assert node.memory_bytes > 100 * 2**20
    assert "state jump to NORMAL" in node.log.read_text()


@pytest.mark.cassandra
def test_a_port_in_use_is_reported_with_the_process_that_holds_it(own_cluster, tmp_path):
    port = own_cluster.connect().port

    with pytest.raises(
        DevClusterError, match=rf"CQL port {port} on 127.0.0.1 is in use by java \(pid {pid(own_cluster)}\)"
    ):
        DevCluster(tmp_path / "other").up(Settings(port=port, heap="512m"))

    assert DevCluster(tmp_path / "other").status() == []


@pytest.mark.cassandra
def test_data_survives_a_stop_and_a_killed_node(own_cluster):
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    rows(own_cluster, f"CREATE KEYSPACE kept WITH replication = {replication}")
    rows(own_cluster, "CREATE TABLE kept.t (k int PRIMARY KEY)")
    rows(own_cluster, "INSERT INTO kept.t (k) VALUES (7)")

    assert own_cluster.down() is True
    assert [node.state for node in own_cluster.status()] == ["down"]
    assert own_cluster.down() is False
    with pytest.raises(DevClusterError, match="no development cluster runs"):
        own_cluster.connect()
    assert own_cluster.up(SMALL) is True
    assert [row.k for row in rows(own_cluster, "SELECT k FROM kept.t")] == [7]

    os.kill(pid(own_cluster), signal.SIGKILL)
    wait_until_down(own_cluster)
    assert own_cluster.up(SMALL) is True  # A stale pid is no running node.
    assert [row.k for row in rows(own_cluster, "SELECT k FROM kept.t")] == [7]


def wait_until_down(running: DevCluster) -> None:
    deadline = time.monotonic() + 10
    while running.status()[0].state != "down":
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.cassandra
def test_a_row_of_16_mib_can_be_written_and_read(own_cluster):
    with own_cluster.connect().session() as session:
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        session.execute(f"CREATE KEYSPACE large WITH replication = {replication}")
        session.execute("CREATE TABLE large.t (k int PRIMARY KEY, data blob)")
        data = os.urandom(16 * 2**20)
        session.execute(session.prepare("INSERT INTO large.t (k, data) VALUES (?, ?)"), (1, data), timeout=60)

        assert session.execute("SELECT data FROM large.t WHERE k = 1", timeout=60).one().data == data


def test_a_node_that_dies_while_starting_is_reported_with_the_end_of_its_log(tmp_path):
    dying = DevCluster(tmp_path / "home")

    with pytest.raises(DevClusterError) as caught:
        dying.up(Settings(port=0, heap="1000000g"))

    assert "node 1 died while starting" in str(caught.value)
    assert str(tmp_path / "home" / "node1" / "cassandra.log") in str(caught.value)
    assert "Could not reserve enough space" in str(caught.value)
    assert [node.state for node in dying.status()] == ["down"]


def test_after_a_start_that_failed_at_once_any_number_of_nodes_may_be_asked(tmp_path):
    failed = DevCluster(tmp_path / "home")
    with pytest.raises(DevClusterError, match="node 1 died"):
        failed.up(Settings(port=0, heap="1000000g"))

    with pytest.raises(DevClusterError, match="node 1 died"):  # And not: the data is that of nodes=1.
        failed.up(Settings(nodes=2, port=0, heap="1000000g"))

    assert len(failed.status()) == 2


def test_ctrl_c_stops_what_was_started_and_leaves_a_usable_state(tmp_path):
    home = tmp_path / "home"
    command = [sys.executable, "-m", "tfcass.cli", "dev", "up", "--port", "0", "--heap", "512m"]
    starting = subprocess.Popen(
        command, env={**os.environ, "TFCASS_HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    node = pid_once_known(home)

    starting.send_signal(signal.SIGINT)
    _, errors = starting.communicate(timeout=60)

    assert starting.returncode == 130
    assert errors.endswith("interrupted\n") and "Traceback" not in errors
    assert not psutil.pid_exists(node)
    assert [status.state for status in DevCluster(home).status()] == ["down"]
    assert DevCluster(home).down(wipe=True) is False
    assert not home.exists()


def pid_once_known(home: Path) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return json.loads((home / "state.json").read_text())["processes"][0]["pid"]
        except (FileNotFoundError, TypeError):
            time.sleep(0.01)
    raise AssertionError("no node was started")


@pytest.fixture
def recorded(tmp_path) -> Path:
    """A folder whose state names this very test process as its node, as a pid that was given anew would."""
    home = tmp_path / "home"
    home.mkdir()
    me = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    settings = {"nodes": 1, "auth": False, "tls": False, "heap": "512m", "port": 0}
    state = {"version": 1, "settings": settings, "cql_port": 1, "storage_port": 2, "jmx_ports": [3], "processes": [me]}
    (home / "state.json").write_text(json.dumps(state))
    return home


def test_a_process_that_is_no_node_of_ours_is_not_killed(recorded):
    assert [node.state for node in DevCluster(recorded).status()] == ["down"]

    assert DevCluster(recorded).down() is False  # And this test is still running.


def test_data_of_another_number_of_nodes_is_not_touched(recorded):
    (recorded / "node1" / "data").mkdir(parents=True)

    with pytest.raises(DevClusterError, match="nodes=1, asked 3.*down --wipe"):
        DevCluster(recorded).up(Settings(nodes=3, port=0))


def test_wipe_leaves_the_files_of_others(recorded):
    (recorded / "thesis.txt").write_text("mine")

    DevCluster(recorded).down(wipe=True)

    assert [path.name for path in recorded.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99}', '{"version": 1, "settings": {"nodes": 9}}'])
def test_a_damaged_state_is_named(recorded, text):
    (recorded / "state.json").write_text(text)

    with pytest.raises(DevClusterError, match=f"{recorded / 'state.json'} is damaged"):
        DevCluster(recorded).status()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(DevClusterError, match=f"cannot write to {tmp_path / 'file' / 'home'}.*TFCASS_HOME"):
        DevCluster(tmp_path / "file" / "home").up(SMALL)


def test_a_disk_with_too_little_space_is_refused_before_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**40, 2**40, 3 * 2**20))

    with pytest.raises(DevClusterError, match="has 3 MiB free and a start needs 512 MiB"):
        DevCluster(tmp_path / "home").up(SMALL)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_fills_up_is_named(tmp_path):
    conf = tmp_path / "home" / "node1" / "conf"
    conf.mkdir(parents=True)
    (conf / "cassandra.yaml").symlink_to("/dev/full")  # Each write there fails as on a full disk.

    with pytest.raises(DevClusterError, match=os.strerror(errno.ENOSPC)):
        DevCluster(tmp_path / "home").up(SMALL)


def test_two_commands_at_once_are_kept_apart(tmp_path):
    home = tmp_path / "home"
    holder = (
        "import sys; from pathlib import Path; from tfcass.devcluster import state\n"
        "with state.locked(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "locked\n"

        with pytest.raises(DevClusterError, match=f"another `tfcass dev` command is at work in {home}"):
            DevCluster(home).up(SMALL)


def test_no_java_is_said_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "find_java", lambda: raise_(DevClusterError("no Java found")))

    with pytest.raises(DevClusterError, match="no Java found"):
        DevCluster(tmp_path / "home").up(SMALL)

    assert DevCluster(tmp_path / "home").status() == []


def raise_(error: Exception) -> None:
    raise error


def test_the_superuser_logs_in_over_tls(secure_cassandra):
    with secure_cassandra.cluster.session() as session:
        roles = {role.role: (role.super, role.login) for role in session.execute("LIST ROLES")}

    assert roles == {"tfcass": (True, True), "cassandra": (False, False)}


def test_the_superuser_that_everybody_knows_is_refused(secure_cassandra):
    known = tfcass.Cluster(
        [secure_cassandra.host],
        port=secure_cassandra.port,
        auth=tfcass.PasswordAuth("cassandra", password="cassandra"),
        tls=tfcass.Tls(ca=secure_cassandra.ca),
    )

    with pytest.raises(AuthenticationError), known.session():
        pass


def test_a_client_of_another_authority_is_refused(secure_cassandra, tmp_path):
    tls.ensure(tmp_path, ["127.0.0.1"])
    other = tfcass.Cluster(
        [secure_cassandra.host],
        port=secure_cassandra.port,
        auth=secure_cassandra.cluster.auth,
        tls=tfcass.Tls(ca=str(tls.ca_file(tmp_path))),
    )

    with pytest.raises(TlsError), other.session():
        pass


def test_the_password_is_readable_by_its_owner_only(secure_cassandra):
    assert stat.S_IMODE(superuser.password_file(secure_cassandra.home).stat().st_mode) == 0o600


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_three_nodes_form_a_ring_and_a_lost_one_comes_back_alone(three_nodes):
    three = three_nodes.dev
    with three.connect().session() as session:
        found = {session.cluster.metadata.get_host(host).is_up for host in three_nodes.hosts}
        for factor in (1, 2, 3):  # The engine reads each key from the nodes that hold it.
            rings.check(three.connect(), session, f"{{'class': 'SimpleStrategy', 'replication_factor': {factor}}}")
            rings.check(three.connect(), session, f"{{'class': 'NetworkTopologyStrategy', 'dc1': {factor}}}")
    assert found == {True}
    before = [node.pid for node in three.status()]

    three_nodes.kill(3)
    assert [node.state for node in three.status()] == ["up", "up", "down"]
    assert three.up(three_nodes.settings) is True

    after = [node.pid for node in three.status()]
    assert after[:2] == before[:2] and after[2] != before[2]
    assert [node.state for node in three.status()] == ["up", "up", "up"]
