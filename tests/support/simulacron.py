"""Clusters that Simulacron plays: several datacenters without a machine for each, and any error on any node.

    with simulacron() as simulator, simulator.cluster({"dc1": 2, "dc2": 2}) as played:
        played.answer_rows("SELECT ...", "patch_id", rows)
        played.answer_error("SELECT ...", "read_timeout", node=("dc1", 0))

What it plays: system.local and system.peers with Murmur3 tokens, one a node; no peers_v2; empty schema tables. So a
client knows its nodes and not where a keyspace's rows lie. A read gets the first answer that was given for it, of
its node, else of the cluster; a prepared read without an answer is never answered. Values are JSON; a blob is a text of
hexadecimal digits after "0x".

`python -m tests.support.simulacron` fetches it ahead of time.
"""

import dataclasses
import itertools
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tfcass
from tfcass.devcluster import ports
from tfcass.devcluster.jars import JarSet, ensure_jars
from tfcass.devcluster.java import find_java

JARS = JarSet(
    "Simulacron",
    "0.12.0",
    "simulacron-standalone",
    Path(__file__).with_name("simulacron_pom.xml"),
    megabytes=14,
)

# Ends the program when its standard input ends, which is when the test run is gone for whatever reason.
_GUARD = (
    "import subprocess, sys; program = subprocess.Popen(sys.argv[1:]); sys.stdin.read(); program.kill(); program.wait()"
)

_START_S = 60.0
_TYPES = {"patch_id": "uuid", "label": "int", "data": "blob"}
_DETAILS = {
    "read_timeout": {"consistency_level": "LOCAL_ONE", "received": 0, "block_for": 1, "data_present": False},
    "unavailable": {"consistency_level": "LOCAL_ONE", "alive": 0, "required": 1},
    "overloaded": {},
    "is_bootstrapping": {},
    "server_error": {},
    "invalid": {},
}

Node = tuple[str, int]  # Datacenter, number in it.


@dataclasses.dataclass(frozen=True)
class PlayedCluster:
    """One cluster.

    Attributes:
      addresses: Of each node.
      port: CQL port of all nodes.
    """

    _simulator: "Simulacron"
    _id: int
    _ids: Mapping[Node, str]  # As in paths: "cluster/datacenter/node".
    addresses: Mapping[Node, str]
    port: int

    def connect(self, *nodes: Node, **settings: Any) -> tfcass.Cluster:
        """Through these nodes first; through the first one by default."""
        points = [self.addresses[node] for node in nodes or [next(iter(self.addresses))]]
        return tfcass.Cluster(points, port=self.port, **settings)

    def answer_rows(self, query: str, parameter: str, rows: Sequence[tuple[bytes, int, bytes]]) -> None:
        """Answers a read of one key with its row (key, label, data), on every node."""
        for key, label, data in rows:
            row = {"patch_id": str(uuid.UUID(bytes=key)), "label": label, "data": "0x" + data.hex()}
            self._answer(query, parameter, key, [row])

    def answer_nothing(self, query: str, parameter: str, key: bytes) -> None:
        """Answers a read of this key without a row."""
        self._answer(query, parameter, key, [])

    def answer_error(self, query: str, error: str, *, node: Node | None = None, on_prepare: bool = False) -> None:
        """Answers a read of whatever keys with an error, on one node or on all."""
        then = {"result": error, "ignore_on_prepare": not on_prepare, "message": "made by the test", **_DETAILS[error]}
        self._prime(query, {}, then, self._ids[node] if node else str(self._id))

    def forget_answers_of_nodes(self, datacenter: str) -> None:
        """Those that were given for one of its nodes."""
        path, _, _ = self._ids[(datacenter, 0)].rpartition("/")
        self._simulator.ask("DELETE", f"/prime/{path}")

    def reads(self, query: str) -> dict[Node, int]:
        """How often each node was asked."""
        counts = {}
        for node, path in self._ids.items():
            log = self._simulator.ask("GET", f"/log/{path}")
            entries = [entry for dc in log["data_centers"] for other in dc["nodes"] for entry in other["queries"]]
            counts[node] = sum(entry["type"] == "EXECUTE" and entry["query"] == query for entry in entries)
        return counts

    def _answer(self, query: str, parameter: str, key: bytes, rows: list[dict[str, Any]]) -> None:
        when = {"params": {parameter: str(uuid.UUID(bytes=key))}, "param_types": {parameter: "uuid"}}
        self._prime(query, when, {"result": "success", "rows": rows, "column_types": _TYPES}, str(self._id))

    def _prime(self, query: str, when: dict, then: dict, path: str) -> None:
        when = {"request": "query", "query": query, **when}
        self._simulator.ask("POST", f"/prime/{path}", {"when": when, "then": then})


class Simulacron:
    """The running program."""

    def __init__(self, port: int, network: str) -> None:
        self._port = port
        self._network = network
        self._addresses = itertools.count(1)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Its own REST interface."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path} {body}: {error.code} {error.read().decode()}") from error
        return json.loads(text) if text else None

    @contextmanager
    def cluster(self, datacenters: Mapping[str, int]) -> Iterator[PlayedCluster]:
        """A cluster of so many nodes in each datacenter."""
        hosts = [f"{self._network}.{next(self._addresses)}" for _ in range(sum(datacenters.values()))]
        port = ports.free_port(hosts)
        free = iter(hosts)
        asked = [
            {
                "id": number,
                "name": name,
                "nodes": [{"id": i, "name": f"{name}-{i}", "address": f"{next(free)}:{port}"} for i in range(nodes)],
            }
            for number, (name, nodes) in enumerate(datacenters.items())
        ]
        made = self.ask("POST", "/cluster", {"name": "played", "cassandra_version": "4.0.0", "data_centers": asked})
        ids, addresses = {}, {}
        for datacenter in made["data_centers"]:
            for node in datacenter["nodes"]:
                name = (datacenter["name"], node["id"])
                ids[name] = f"{made['id']}/{datacenter['id']}/{node['id']}"
                addresses[name] = node["address"].rpartition(":")[0]
        try:
            yield PlayedCluster(self, made["id"], ids, addresses, port)
        finally:
            self.ask("DELETE", f"/cluster/{made['id']}")


@contextmanager
def simulacron() -> Iterator[Simulacron]:
    """Starts it, with free ports, and loopback addresses away from 127.0.0.x."""
    java, jars = find_java(), ensure_jars(jars=JARS)
    http = ports.free_port(["127.0.0.1"])
    command = [str(java.path), "-Xmx128m", "-jar", str(jars / JARS.main_jar)]
    command += ["-t", "127.0.0.1", "-p", str(http), "-l", "WARN"]
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as log:  # It leaves files where it runs.
        guard = subprocess.Popen(
            [sys.executable, "-c", _GUARD, *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=scratch,
        )
        try:
            _wait_until_open(http, log)
            yield Simulacron(http, _network_of_its_own())
        finally:
            guard.stdin.close()
            guard.wait(30)


def _network_of_its_own() -> str:
    """The first three numbers of 254 loopback addresses that hardly anybody else has chosen."""
    rng = random.SystemRandom()
    return f"127.{rng.randint(1, 250)}.{rng.randint(1, 250)}"


def _wait_until_open(port: int, log: Any) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                log.seek(0)
                raise AssertionError(f"Simulacron does not start: {log.read().decode()[-2000:]}") from None
        time.sleep(0.05)


if __name__ == "__main__":
    print(ensure_jars(lambda message: print(message, file=sys.stderr), JARS))
