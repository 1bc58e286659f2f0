"""A TCP port that leads to a server: under another address, holding its replies back, or gone, when told to."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Transfer = Callable[[bytes], bytes]  # What came in -> what goes on.


class Cut(Exception):
    """Raised by a transfer: send `last`, then close the connection."""

    def __init__(self, last: bytes = b"") -> None:
        super().__init__()
        self.last = last


class Proxy:
    """One listening port in front of one server.

    While stalled, requests still reach the server and no reply comes back: many requests are in flight for as long as a
    test wants. While down, there is nobody at the port, as when the server's machine is off.

    Args:
      server: Where the server listens.
      listen_on, port: Where the proxy listens; a free port by default.

    Attributes:
      port: Where it listens.
      connections: Number of connections taken so far.
      holding: Set once a reply is held back.
    """

    def __init__(self, server: tuple[str, int], *, listen_on: str = "127.0.0.1", port: int = 0) -> None:
        self._server = server
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.connections = 0
        self.holding = threading.Event()
        self._listener = socket.create_server((listen_on, port))
        self._address = self._listener.getsockname()
        self.port: int = self._address[1]
        self._listen()

    def stall(self) -> None:
        self.holding.clear()
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        """Closes every connection. New ones are taken."""
        with self._lock:
            for end in self._open:
                _shut(end)

    def down(self) -> None:
        """Closes every connection and takes no new ones."""
        _shut(self._listener)  # Wakes the thread in accept(), which close() alone does not.
        self._listener.close()
        self._listening.join()
        self.cut()

    def up(self) -> None:
        """Ends down()."""
        self._listener = socket.create_server(self._address)
        self._listen()

    def close(self) -> None:
        self.down()
        self.flow()

    def _transfers(self) -> tuple[Transfer, Transfer]:
        """What a new connection does with requests and replies."""
        return bytes, bytes

    def _hold(self) -> None:
        if not self._flowing.is_set():
            self.holding.set()
            self._flowing.wait()

    def _listen(self) -> None:
        self._listening = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._listening.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:  # Closed: the test is over, or wants the server gone.
                return
            self.connections += 1
            try:
                far = socket.create_connection(self._server)
            except OSError:  # The server is gone.
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            requests, replies = self._transfers()
            threading.Thread(target=self._copy, args=(near, far, requests, False), daemon=True).start()
            threading.Thread(target=self._copy, args=(far, near, replies, True), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, transfer: Transfer, replies: bool) -> None:
        try:
            while part := source.recv(65536):
                part = transfer(part)
                if replies:
                    self._hold()
                sink.sendall(part)
        except Cut as cut:
            with contextlib.suppress(OSError):
                sink.sendall(cut.last)
        except OSError:  # One side is gone.
            pass
        finally:
            with self._lock:
                self._open -= {source, sink}
            for end in (source, sink):
                _shut(end)
                end.close()


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # Not connected any more.
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_of(server: tuple[str, int], *, listen_on: str = "127.0.0.1") -> Iterator[Proxy]:
    proxy = Proxy(server, listen_on=listen_on)
    try:
        yield proxy
    finally:
        proxy.close()
