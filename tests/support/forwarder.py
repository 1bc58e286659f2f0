"""A TCP port that leads to another: the same server under an address that its certificate does not name."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def forwarding(to: tuple[str, int], *, listen_on: str) -> Iterator[int]:
    """Passes bytes between a free port of `listen_on`, which it yields, and the address `to`."""
    with socket.create_server((listen_on, 0)) as server:
        threading.Thread(target=_accept, args=(server, to), daemon=True).start()
        yield server.getsockname()[1]


def _accept(server: socket.socket, to: tuple[str, int]) -> None:
    while True:
        try:
            near, _ = server.accept()
        except OSError:  # Closed: the test is over.
            return
        try:
            far = socket.create_connection(to)
        except OSError:
            near.close()
            continue
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while part := source.recv(65536):
            sink.sendall(part)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        end.close()
