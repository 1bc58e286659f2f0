"""The demo's own Cassandra: one development cluster in its output folder, on free ports."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from tfcass.cluster import Cluster
from tfcass.devcluster import DevCluster, Settings


class DemoCluster:
    """Starts when a stage needs it, and is stopped at the end unless it is to be kept.

    Args:
      home: Its folder.
      nodes: Cassandra nodes. Data of a cluster with another number of nodes are wiped: the demo can make them again.
      keep: Leave it running.
    """

    def __init__(self, home: Path, *, nodes: int, keep: bool) -> None:
        self._development = DevCluster(home)
        self._settings = Settings(nodes=nodes, port=0)
        self._keep = keep

    def up(self, progress: Callable[[str], None]) -> Cluster:
        present = self._development.status()
        if present and len(present) != self._settings.nodes:
            self._development.down(wipe=True, progress=progress)
        self._development.up(self._settings, progress=progress)
        return self.connect()

    def connect(self) -> Cluster:
        """How it is reached, once it runs."""
        return self._development.connect()

    def running(self) -> bool:
        return any(node.state != "down" for node in self._development.status())

    @contextlib.contextmanager
    def stopped_at_end(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Stops it when the block ends, however it ends; Ctrl-C waits until that is done."""
        try:
            yield
        finally:
            if not self._keep and self.running():
                before = signal.signal(signal.SIGINT, signal.SIG_IGN)
                try:
                    tell("Stopping Cassandra")
                    self._development.down()
                finally:
                    signal.signal(signal.SIGINT, before)
