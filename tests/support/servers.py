"""Real servers for the tests: started on free ports, and stopped even when the test run is killed."""

import dataclasses
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tfcass
from tfcass.devcluster import DevCluster, Settings, superuser, tls, tools

# Ends when its standard input does, which is when this process is gone for whatever reason, and stops the cluster then.
_GUARD = (
    "import sys; from tfcass.devcluster import DevCluster; sys.stdin.read(); DevCluster(sys.argv[1]).down(wipe=True)"
)


@dataclasses.dataclass(frozen=True)
class SecureCassandra:
    """A node that wants a password and speaks TLS only.

    Attributes:
      cluster: Credentials and authority that it accepts; the password goes by file.
      ca: PEM file of its authority.
      username, password: Those in `cluster`, in the clear.
      home: Folder of the development cluster.
    """

    cluster: tfcass.Cluster
    ca: str
    username: str
    password: str
    home: Path

    @property
    def host(self) -> str:
        return self.cluster.contact_points[0]

    @property
    def port(self) -> int:
        return self.cluster.port


@contextmanager
def running(home: Path, settings: Settings) -> Iterator[DevCluster]:
    """A development cluster that is gone afterwards, data and all."""
    cluster = DevCluster(home)
    with subprocess.Popen(
        [sys.executable, "-c", _GUARD, str(home)], stdin=subprocess.PIPE, start_new_session=True
    ) as guard:
        try:
            cluster.up(settings)
            yield cluster
        finally:
            cluster.down(wipe=True)
            guard.stdin.close()


def secure(cluster: DevCluster) -> SecureCassandra:
    """What a test needs to know of a running cluster with auth and tls."""
    password = superuser.password_file(cluster.home).read_text().strip()
    return SecureCassandra(
        cluster.connect(), str(tls.ca_file(cluster.home)), superuser.USERNAME, password, cluster.home
    )


@dataclasses.dataclass(frozen=True)
class ThreeNodes:
    """A cluster of three nodes with a password, whose nodes a test may stop and kill.

    Attributes:
      dev: Its development cluster.
      settings: Those that it was started with.
    """

    dev: DevCluster
    settings: Settings

    @property
    def cluster(self) -> tfcass.Cluster:
        return self.dev.connect()

    @property
    def hosts(self) -> list[str]:
        return self.settings.hosts

    def send(self, number: int, signal: int) -> None:
        """Sends a signal to node 1, 2 or 3."""
        self.dev.node(number).process().send_signal(signal)

    def kill(self, number: int) -> None:
        process = self.dev.node(number).process()
        process.kill()
        process.wait(30)

    def allow_keys_in_select(self, most: int) -> None:
        """Sets the guardrail on the number of partition keys in one SELECT, for users that are no superusers, on every
        node. A node that is started again has none."""
        guardrails = "org.apache.cassandra.db:type=Guardrails"
        setting = ["sjk", "mx", "-b", guardrails, "-mc", "-op", "setPartitionKeysInSelectThreshold"]
        commands = [
            tools.nodetool(self.dev.node(number), [*setting, "-a", str(most - 1), str(most)])
            for number in range(1, self.settings.nodes + 1)
        ]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for command in commands]
        for process in running:
            output, _ = process.communicate(timeout=120)
            assert process.returncode == 0, output

    def make_whole(self) -> None:
        """Wakes and starts what does not run, and waits until every node knows that all of them are up."""
        for number in range(1, self.settings.nodes + 1):
            if process := self.dev.node(number).process():
                process.send_signal(signal.SIGCONT)
        self.dev.up(self.settings)
        with self.cluster.session() as session:
            for host in session.cluster.metadata.all_hosts():
                _wait_until_sees_all(session, host)


def _wait_until_sees_all(session: Any, host: Any, timeout_s: float = 90.0) -> None:
    """Waits until a read that all replicas must answer is, with this node coordinating it; all nodes are replicas."""
    from cassandra import ConsistencyLevel, DriverException
    from cassandra.cluster import NoHostAvailable
    from cassandra.query import SimpleStatement

    read = SimpleStatement(
        f"SELECT role FROM system_auth.roles WHERE role = '{superuser.USERNAME}'",
        consistency_level=ConsistencyLevel.ALL,
    )
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            session.execute(read, host=host)
            return
        except (DriverException, NoHostAvailable):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def existing(address: str) -> tfcass.Cluster:
    """The plain cluster at "host:port"."""
    host, _, port = address.rpartition(":")
    return tfcass.Cluster([host], port=int(port))
