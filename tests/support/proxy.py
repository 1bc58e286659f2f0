"""A TCP port that leads to a server: under another address, and holding its replies back when told to."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Proxy:
    """One listening port in front of one server.

    While stalled, requests still reach the server and no reply comes back: many requests are in flight for as long as a
    test wants.

    Attributes:
      port: Where it listens, a free port of `listen_on`.
      connections: Number of connections taken so far.
      holding: Set once a reply is held back.
    """

    def __init__(self, server: tuple[str, int], *, listen_on: str = "127.0.0.1") -> None:
        self._server = server
        self._flowing = threading.Event()
        self._flowing.set()
        self.connections = 0
        self.holding = threading.Event()
        self._listener = socket.create_server((listen_on, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    def close(self) -> None:
        self._listener.close()
        self.flow()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # Closed: the test is over.
                return
            self.connections += 1
            try:
                far = socket.create_connection(self._server)
            except OSError:  # The server is gone.
                near.close()
                continue
            threading.Thread(target=self._copy, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._copy, args=(far, near, True), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, replies: bool) -> None:
        try:
            while part := source.recv(65536):
                if replies:
                    if not self._flowing.is_set():
                        self.holding.set()
                    self._flowing.wait()
                sink.sendall(part)
        except OSError:  # One side is gone.
            pass
        finally:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                end.close()


@contextmanager
def proxy_of(server: tuple[str, int], *, listen_on: str = "127.0.0.1") -> Iterator[Proxy]:
    proxy = Proxy(server, listen_on=listen_on)
    try:
        yield proxy
    finally:
        proxy.close()
