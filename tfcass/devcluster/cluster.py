"""DevCluster: starts, stops and describes a Cassandra of one to three nodes whose files lie in one folder."""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tfcass.devcluster import ports, state, superuser, tls
from tfcass.devcluster.config import NodeConfig
from tfcass.devcluster.java import find_java
from tfcass.devcluster.node import Node
from tfcass.devcluster.settings import DATACENTER, Settings, default_home
from tfcass.devcluster.state import State
from tfcass.errors import DevClusterError

if TYPE_CHECKING:
    import tfcass
    from tfcass.cluster import PasswordAuth

Progress = Callable[[str], None]

_NEEDED_BYTES = 512 * 2**20  # A node's first commit log segments and system tables take about a third of that.


@dataclasses.dataclass(frozen=True)
class NodeStatus:
    """One node now.

    Attributes:
      number: 1, 2 or 3.
      host: Its address.
      state: "up" (answers), "starting" (its process runs but does not answer), or "down".
      pid: Its process; None if down.
      memory_bytes: Memory that the process occupies; None if down.
      log: Its log.
    """

    number: int
    host: str
    state: str
    pid: int | None
    memory_bytes: int | None
    log: Path


class DevCluster:
    """The development cluster in a folder.

    Several folders hold several clusters, which run side by side on ports of their own. One command at a time may
    change a cluster: up() and down() take its lock and raise DevClusterError if another process has it.

    Args:
      home: The folder; by default that of the user's own development cluster.
    """

    def __init__(self, home: Path | str | None = None) -> None:
        self.home = default_home() if home is None else Path(home).absolute()

    def up(self, settings: Settings = Settings(), *, progress: Progress = lambda message: None) -> bool:  # noqa: B008
        """Starts the nodes that do not run and waits until all answer. If that fails or is interrupted, it stops them.

        Args:
          settings: What to start. A cluster that runs must have the same.
          progress: Told what is being done.
        Returns:
          False if all nodes ran already.
        Raises:
          DevClusterError: It runs with other settings, a port is taken, Java or Cassandra is missing, or a node dies.
        """
        with state.locked(self.home), _disk_errors(self.home):
            known = state.load(self.home)
            if known is not None:
                self._require_same(known, settings)
            if known is not None and all(node.process() for node in self._nodes(known)):
                for node in self._nodes(known):
                    node.wait_until_answers()
                return False
            self._start(self._plan(known, settings), progress)
            return True

    def down(self, *, wipe: bool = False, progress: Progress = lambda message: None) -> bool:
        """Stops the nodes.

        Args:
          wipe: Delete the data, the password and the certificates too.
          progress: Told what is being done.
        Returns:
          True if a node ran.
        """
        if not self.home.exists():
            return False
        with state.locked(self.home), _disk_errors(self.home):
            known = state.load(self.home)
            if known is None:
                return False
            nodes = self._nodes(known)
            running = [node for node in nodes if node.process()]
            if running:
                progress(f"Stopping {len(running)} node{'s' if len(running) > 1 else ''}")
            if wipe:
                _kill(nodes)  # Data that goes need not be flushed.
            else:
                for node in nodes:  # All at once, as each takes some seconds.
                    node.ask_to_stop()
                for node in nodes:
                    node.stop()
            self._remember(known, nodes)
            if wipe:
                self._wipe(nodes)
        return bool(running)

    def state(self) -> State | None:
        """What is known of the cluster, running or not; None if there never was one or it was wiped."""
        return state.load(self.home)

    def status(self) -> list[NodeStatus]:
        """The nodes now; none if there never was a cluster or it was wiped."""
        known = state.load(self.home)
        return [] if known is None else [self._node_status(node) for node in self._nodes(known)]

    def runs(self) -> bool:
        """Whether a node runs."""
        known = state.load(self.home)
        return known is not None and self._any_runs(known)

    def running(self) -> State:
        """The state of the cluster.

        Raises:
          DevClusterError: No node runs.
        """
        known = state.load(self.home)
        if known is None or not self._any_runs(known):
            raise DevClusterError(f"no development cluster runs in {self.home}; start one with `tfcass dev up`")
        return known

    def connect(self) -> "tfcass.Cluster":
        """How the running cluster is reached: its addresses, port, password and authority.

        Raises:
          DevClusterError: It does not run.
        """
        from tfcass.cluster import PasswordAuth

        known = self.running()
        password = str(superuser.password_file(self.home))
        auth = PasswordAuth(superuser.USERNAME, password_file=password) if known.settings.auth else None
        return self._client(known, auth)

    def node(self, number: int) -> Node:
        """A node of the cluster, running or not.

        Raises:
          DevClusterError: There is no such node.
        """
        known = state.load(self.home)
        nodes = [] if known is None else self._nodes(known)
        if number not in range(1, len(nodes) + 1):
            raise DevClusterError(f"node {number} is not in the cluster in {self.home}, which has {len(nodes)}")
        return nodes[number - 1]

    def _require_same(self, known: State, settings: Settings) -> None:
        differences = known.settings.differences(settings)
        if differences and self._any_runs(known):
            raise DevClusterError(
                f"the cluster in {self.home} runs with other settings ({'; '.join(differences)}); "
                "ask for the same, or stop it first with `tfcass dev down`"
            )
        if known.settings.nodes != settings.nodes and any(node.has_data() for node in self._nodes(known)):
            raise DevClusterError(
                f"the data in {self.home} is that of nodes={known.settings.nodes}, asked {settings.nodes}; "
                "ask for as many, or delete the data first with `tfcass dev down --wipe`"
            )

    def _plan(self, known: State | None, settings: Settings) -> State:
        """Chooses ports; those that nodes, running or not, know each other by are kept."""
        hosts = settings.hosts
        if known is None or known.settings.nodes != settings.nodes:
            cql_port = settings.port or ports.free_port(hosts)
            jmx_ports = [ports.free_port(hosts) for _ in hosts]
            return State(settings, cql_port, ports.free_port(hosts), jmx_ports, [None] * len(hosts))
        nodes = self._nodes(known)
        cql_port, storage_port = known.cql_port, known.storage_port
        if not self._any_runs(known):
            cql_port = settings.port or ports.free_port(hosts)
            if settings.nodes == 1 and not ports.is_free(hosts[0], storage_port):  # Nobody else has to find it there.
                storage_port = ports.free_port(hosts)
        jmx_ports = [node.config.jmx_port if node.process() else ports.free_port(hosts) for node in nodes]
        return State(settings, cql_port, storage_port, jmx_ports, [node.process_id for node in nodes])

    def _start(self, plan: State, progress: Progress) -> None:
        from tfcass.devcluster.jars import (
            ensure_jars,
        )  # Here, as `python -m tfcass.devcluster.jars` imports this package first.

        missing = [node for node in self._nodes(plan) if not node.process()]
        for node in missing:
            ports.require_free(node.config.host, plan.cql_port, purpose="CQL")
            ports.require_free(node.config.host, plan.storage_port, purpose="storage")
        java = find_java()
        jars = ensure_jars(progress)
        self._require_space()
        if plan.settings.tls:
            tls.ensure(self.home, plan.settings.hosts)
        nodes = self._nodes(plan)
        started: list[Node] = []
        try:
            for node in nodes:  # One after the other: two that join at once get in each other's way.
                if not node.process():
                    progress(
                        f"Starting node {node.config.number} of {len(nodes)} on {node.config.host}:{plan.cql_port}"
                    )
                    started.append(node)
                    node.start(java, jars)
                    self._remember(plan, nodes)
                node.wait_until_answers()
            if plan.settings.auth:
                progress("Waiting until logins work")
                superuser.ensure(self.home, lambda auth: self._client(plan, auth))
        except BaseException:  # Ctrl-C too.
            _kill(started)
            with contextlib.suppress(
                OSError
            ):  # A full disk: the pids that stay there are stale, which the next start sees.
                self._remember(plan, nodes)
            raise

    def _remember(self, known: State, nodes: list[Node]) -> None:
        known.processes = [node.process_id for node in nodes]
        state.save(self.home, known)

    def _any_runs(self, known: State) -> bool:
        return any(node.process() for node in self._nodes(known))

    def _nodes(self, known: State) -> list[Node]:
        return [
            Node(
                NodeConfig(
                    home=self.home,
                    folder=self.home / f"node{number}",
                    number=number,
                    settings=known.settings,
                    cql_port=known.cql_port,
                    storage_port=known.storage_port,
                    jmx_port=known.jmx_ports[number - 1],
                ),
                known.processes[number - 1],
            )
            for number in range(1, known.settings.nodes + 1)
        ]

    def _node_status(self, node: Node) -> NodeStatus:
        process = node.process()
        if process is None:
            return NodeStatus(node.config.number, node.config.host, "down", None, None, node.log)
        word = "up" if node.answers() else "starting"
        return NodeStatus(node.config.number, node.config.host, word, process.pid, process.memory_info().rss, node.log)

    def _client(self, known: State, auth: "PasswordAuth | None") -> "tfcass.Cluster":
        from tfcass.cluster import Cluster, Tls

        encryption = Tls(ca=str(tls.ca_file(self.home))) if known.settings.tls else None
        return Cluster(known.settings.hosts, port=known.cql_port, local_dc=DATACENTER, auth=auth, tls=encryption)

    def _require_space(self) -> None:
        free = shutil.disk_usage(self.home).free
        if free < _NEEDED_BYTES:
            raise DevClusterError(
                f"{self.home} has {free / 2**20:.0f} MiB free and a start needs {_NEEDED_BYTES / 2**20:.0f} MiB; "
                "free some, or choose another folder with TFCASS_HOME"
            )

    def _wipe(self, nodes: list[Node]) -> None:
        """Deletes what this class has made and nothing else: the folder may hold files of the user."""
        for node in nodes:
            node.wipe()
        shutil.rmtree(self.home / "tls", ignore_errors=True)
        for name in ("password", "cqlshrc", "cqlsh-credentials", "state.json", ".lock"):
            (self.home / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.home.rmdir()


def connect(home: Path | str | None = None) -> "tfcass.Cluster":
    """How the running development cluster is reached; see DevCluster.connect."""
    return DevCluster(home).connect()


def _kill(nodes: Iterable[Node]) -> None:
    for node in nodes:
        node.stop(grace_s=0)


@contextlib.contextmanager
def _disk_errors(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, ConnectionError) or error.errno is None:
            raise
        raise DevClusterError(
            f"cannot write to {error.filename or home}: {error.strerror}; choose another folder with TFCASS_HOME"
        ) from error
