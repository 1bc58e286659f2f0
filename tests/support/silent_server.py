"""A port that takes connections and says nothing."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def silent_server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def asked(listener: socket.socket) -> socket.socket:
    """Waits for a connection, and for the first bytes on it."""
    listener.settimeout(60)
    near, _ = listener.accept()
    near.settimeout(60)
    assert near.recv(1, socket.MSG_PEEK)
    return near
