"""One cassandra-driver session per process and cluster, shared by all DoFn instances of a worker.

A worker runs several bundles at a time, each with its own DoFn instances. A session is thread safe and holds a pool of
connections, so that instances share it: the first one to need it connects, the last one to let go closes it.
"""

import atexit
import contextlib
import threading
import time
from typing import TYPE_CHECKING

from beam_pipelines.retries import backoff_s
from tfcass.errors import AuthenticationError, ClusterError, TlsError

if TYPE_CHECKING:
    from cassandra.cluster import Session

    from tfcass.cluster import Cluster


class SessionPool:
    """Sessions by cluster, reference counted. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # Held while connecting: the threads that wait would only connect a second time.
        self._entries: dict[Cluster, _Entry] = {}
        # A runner that stops after a failure may not tear its DoFns down.
        atexit.register(self._close_all)

    def acquire(self, cluster: "Cluster", *, wait_s: float = 0.0) -> "Session":
        """Returns the session of `cluster`, connected; pair it with release().

        Args:
          cluster: How it is reached.
          wait_s: How long to wait for a cluster that does not answer. Wrong credentials and the like are told at once.
        Raises:
          tfcass.ClusterError: The cluster cannot be reached or refuses the credentials.
        """
        deadline_s = time.monotonic() + wait_s
        attempt = 1
        while True:
            try:
                return self._acquire(cluster)
            except (AuthenticationError, TlsError):
                raise
            except ClusterError:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise
            time.sleep(min(left_s, backoff_s(attempt, first_s=0.2, longest_s=5.0)))
            attempt += 1

    def _acquire(self, cluster: "Cluster") -> "Session":
        with self._lock:
            entry = self._entries.get(cluster)
            if entry is None:
                entry = self._entries[cluster] = _Entry(cluster)
            entry.users += 1
            return entry.session

    def release(self, cluster: "Cluster") -> None:
        """Lets go of one acquire(); the last one closes the session."""
        with self._lock:
            entry = self._entries.get(cluster)
            if entry is None:  # Closed already: this process is about to end.
                return
            entry.users -= 1
            if entry.users == 0:
                del self._entries[cluster]
                entry.close()

    def _close_all(self) -> None:
        with self._lock:
            while self._entries:
                self._entries.popitem()[1].close()


class _Entry:
    def __init__(self, cluster: "Cluster") -> None:
        stack = contextlib.ExitStack()
        self.session = stack.enter_context(cluster.session())
        self.close = stack.close
        self.users = 0


SESSIONS = SessionPool()  # Of this process. A worker process starts with an empty one.
