"""Free TCP ports, and who holds one that is not free."""

import errno
import random
import socket
from collections.abc import Sequence

import psutil

from tfcass.errors import DevClusterError

# Below the range from which systems take the ports of outgoing connections, so that none of these takes ours meanwhile.
_CANDIDATES = range(15000, 32000)


def free_port(hosts: Sequence[str]) -> int:
    """A TCP port that is free on all of these addresses now."""
    for port in random.SystemRandom().sample(_CANDIDATES, 200):
        if all(_bind_error(host, port) is None for host in hosts):
            return port
    raise DevClusterError(f"no free TCP port between {_CANDIDATES.start} and {_CANDIDATES.stop} on {', '.join(hosts)}")


def require_free(host: str, port: int, *, purpose: str) -> None:
    """Raises DevClusterError, naming the process that holds the port, unless a server can listen there."""
    error = _bind_error(host, port)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        raise DevClusterError(
            f"{purpose} port {port} on {host} is in use by {holder(host, port)}; "
            "stop that, or choose another port (--port)"
        )
    raise DevClusterError(f"cannot listen on {host}:{port} ({purpose}): {error.strerror}")


def is_free(host: str, port: int) -> bool:
    return _bind_error(host, port) is None


def holder(host: str, port: int) -> str:
    """Who listens on the port, for a message: "java (pid 12)"."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "a process that only its owner may see"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            if _covers(connection.laddr.ip, host):
                try:
                    return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
                except psutil.NoSuchProcess:
                    return "a process that has just ended"
    return "a process that cannot be seen from here, such as one of another user"


def _covers(listening: str, host: str) -> bool:
    return listening in (host, f"::ffff:{host}", "0.0.0.0", "::")


def _bind_error(host: str, port: int) -> OSError | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As Java does: old connections do not count.
        try:
            server.bind((host, port))
            server.listen(1)
        except OSError as error:
            return error
    return None
