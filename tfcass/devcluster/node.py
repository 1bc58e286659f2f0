"""One node: its folder, its process, and when it answers."""

import contextlib
import os
import shutil
import time
from collections import deque
from pathlib import Path

import psutil

from tfcass._probe import probe
from tfcass.cluster import Tls
from tfcass.devcluster import config, process, tls
from tfcass.devcluster.config import NodeConfig
from tfcass.devcluster.java import Java
from tfcass.devcluster.process import ProcessId
from tfcass.errors import ClusterError, DevClusterError

START_TIMEOUT_S = 240.0  # A node alone takes ten seconds; a busy machine many more.
_STOP_GRACE_S = 30.0
_LAST_LINES = 25  # A report of the Java machine on its own crash is twenty.


class Node:
    """A Cassandra process and its folder. One command at a time uses it: see state.locked.

    Args:
      config: Its configuration.
      process_id: The process that was started for it last, running or not.
    """

    def __init__(self, config: NodeConfig, process_id: ProcessId | None) -> None:
        self.config = config
        self.process_id = process_id

    @property
    def log(self) -> Path:
        """All that the process printed since its last start; the start before it is in cassandra.log.1."""
        return self.config.folder / "cassandra.log"

    def has_data(self) -> bool:
        """False until it has come so far, once, as to write its first tables."""
        return (self.config.folder / "data").exists()

    def process(self) -> psutil.Process | None:
        """The node's process if it runs; a stale pid, even one that another process has now, is None."""
        return process.find(self.process_id, marker=self.config.marker)

    def answers(self, timeout_s: float = 5.0) -> bool:
        """True if CQL answers at the node's address."""
        encryption = Tls(ca=tls.ca_file(self.config.home)) if self.config.settings.tls else None
        try:
            probe(self.config.host, self.config.cql_port, tls=encryption, timeout_s=timeout_s)
        except ClusterError:
            return False
        return True

    def start(self, java: Java, jars: Path) -> None:
        """Starts the process. It does not answer yet."""
        config.write(self.config)
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.log, self.log.with_suffix(".log.1"))
        self.process_id = process.spawn(config.java_command(self.config, java, jars), output=self.log)

    def wait_until_answers(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Waits until CQL answers.

        Raises:
          DevClusterError: The process ended, or does not answer in time; tells the last lines of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not self.answers():
            if self.process() is None:
                raise DevClusterError(f"node {self.config.number} died while starting. {self._last_words()}")
            if time.monotonic() > deadline:
                raise DevClusterError(
                    f"node {self.config.number} does not answer on {self.config.host}:{self.config.cql_port} "
                    f"after {timeout_s:g} s. {self._last_words()}"
                )
            time.sleep(0.2)

    def ask_to_stop(self) -> None:
        """Lets the process begin to stop, if it runs, and does not wait for it."""
        if running := self.process():
            process.ask_to_end(running)

    def stop(self, *, grace_s: float = _STOP_GRACE_S) -> None:
        """Stops the process if it runs: asks it, waits `grace_s`, then kills it."""
        if running := self.process():
            process.stop(running, grace_s=grace_s)
        self.process_id = None

    def wipe(self) -> None:
        """Deletes the node's folder."""
        shutil.rmtree(self.config.folder, ignore_errors=True)

    def _last_words(self) -> str:
        """The end of the log, without stack frames, and where the rest is."""
        try:
            with open(self.log, errors="replace") as stream:
                lines = deque((line.rstrip() for line in stream if not line.startswith("\tat ")), maxlen=_LAST_LINES)
        except OSError as error:
            return f"Its log {self.log} cannot be read: {error.strerror}"
        return "\n".join([f"Last lines of {self.log}:", *(f"  {line}" for line in lines)])
