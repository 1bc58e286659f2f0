"""Real servers for the tests: started on free ports, and stopped even when the test run is killed."""

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tfcass
from tfcass.devcluster import DevCluster, Settings, superuser, tls

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


def existing(address: str) -> tfcass.Cluster:
    """The plain cluster at "host:port"."""
    host, _, port = address.rpartition(":")
    return tfcass.Cluster([host], port=int(port))
