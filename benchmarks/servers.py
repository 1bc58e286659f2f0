"""Real Cassandra clusters for the benchmarks: one at a time, started when asked for, stopped whatever happens.

Their folders stay in benchmarks/out/clusters, so that rows are written once and not for each run of `make bench`.
"""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tfcass
from benchmarks.harness import say
from tfcass.devcluster import DevCluster, Settings, tools

ADVERTISED = "127.0.0.9"  # Where the proxied node sends its clients.

# Ends when its standard input does, which is when this process is gone for whatever reason, and stops the cluster then:
# a node that was left stopped by SIGSTOP goes on first, to see that it is to end.
_GUARD = """
import os, signal, sys
from tfcass.devcluster import DevCluster
sys.stdin.read()
cluster = DevCluster(sys.argv[1])
for node in cluster.status():
    if node.pid: os.kill(node.pid, signal.SIGCONT)
cluster.down()
"""


@dataclasses.dataclass(frozen=True)
class Server:
    """A running cluster.

    Attributes:
      dev: The processes.
      cluster: How it is reached.
      words: What it is, for people.
    """

    dev: DevCluster
    cluster: tfcass.Cluster
    words: str

    @property
    def hosts(self) -> list[str]:
        return self.dev.running().settings.hosts

    def pid(self, number: int) -> int:
        """The process of a node, from 1."""
        return self.dev.status()[number - 1].pid

    def nodetool(self, *arguments: str) -> None:
        """Runs nodetool against every node at once."""

        def run(number: int) -> None:
            command = tools.nodetool(self.dev.node(number), arguments)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)

        with ThreadPoolExecutor() as pool:
            list(pool.map(run, range(1, len(self.hosts) + 1)))


class Servers:
    """The clusters. Asking for one stops the one that ran before: memory and cores are those of one machine.

    Args:
      home: Folder for their folders.
      heap: Java heap of each node.
    """

    def __init__(self, home: Path, *, heap: str = "1g") -> None:
        self._home = home
        self._heap = heap
        self._running: tuple[str, Settings, DevCluster, subprocess.Popen[bytes]] | None = None

    def one(self) -> Server:
        """A node without password or TLS."""
        return self._use("one", Settings(port=0, heap=self._heap), "one node, plain")

    def proxied(self) -> Server:
        """The same node, with the same data, where clients are to go through a proxy at ADVERTISED and its port."""
        settings = Settings(port=0, heap=self._heap, advertise=ADVERTISED)
        server = self._use("one", settings, "one node, plain, behind a proxy")
        through = dataclasses.replace(server.cluster, contact_points=[ADVERTISED])
        return dataclasses.replace(server, cluster=through)

    def three(self) -> Server:
        """Three nodes with password and TLS."""
        settings = Settings(nodes=3, auth=True, tls=True, port=0, heap=self._heap)
        return self._use("three", settings, "three nodes, password, TLS 1.3 with names verified")

    def close(self) -> None:
        """Stops what runs; the data stays."""
        if self._running is None:
            return
        _, _, dev, guard = self._running
        self._running = None
        for node in dev.status():
            if node.pid:
                os.kill(node.pid, signal.SIGCONT)
        dev.down(progress=say)
        guard.stdin.close()
        guard.wait()

    def wipe(self) -> None:
        """Deletes all data."""
        self.close()
        for folder in self._home.iterdir() if self._home.exists() else ():
            DevCluster(folder).down(wipe=True)
            shutil.rmtree(folder, ignore_errors=True)

    def _use(self, name: str, settings: Settings, words: str) -> Server:
        if self._running is None or self._running[:2] != (name, settings):
            self.close()
            self._start(name, settings)
        dev = self._running[2]
        return Server(dev, dev.connect(), f"{words}, Java heap {settings.heap} each, on the client's own machine")

    def _start(self, name: str, settings: Settings) -> None:
        dev = DevCluster(self._home / name)
        dev.down()  # Left by a run that was killed, and its guard too.
        guard = subprocess.Popen(
            [sys.executable, "-c", _GUARD, str(dev.home)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._running = (name, settings, dev, guard)
        dev.up(settings, progress=say)
