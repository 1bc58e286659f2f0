"""A proxy that understands CQL's frames: it loses, cuts, changes and replaces the replies to single reads.

    with cql_proxy_of(("127.0.0.1", 9042)) as proxy:
        proxy.rule = first(3, error(OVERLOADED))     # The first three reads from now on are refused.

A rule looks at a read (an EXECUTE: the fetch op's prepared SELECT) and gives what becomes of its reply, or None to
leave that alone. Frames are those of protocol 4, which the op's driver speaks; plain connections only.
"""

import dataclasses
import random
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.support.proxy import Cut, Proxy, Transfer
from tfcass.devcluster import ports

# Source: native_protocol_v4.spec of Cassandra, sections 2 and 9.
_HEADER = struct.Struct(">BBhBI")  # Version, flags, stream, opcode, length of the body.
_ERROR, _RESULT, _EXECUTE = 0x00, 0x08, 0x0A
_WARNINGS = 0x08  # Flag of a frame.
_ROWS = 2
_MORE_PAGES, _NO_METADATA = 0x0002, 0x0004  # Flags of rows.
_RESPONSE = 0x84

SERVER_ERROR, UNAVAILABLE, OVERLOADED, BOOTSTRAPPING = 0x0000, 0x1000, 0x1001, 0x1002
READ_TIMEOUT, READ_FAILURE, INVALID, UNPREPARED = 0x1200, 0x1300, 0x2200, 0x2500


@dataclasses.dataclass(frozen=True)
class Frame:
    """One message.

    Attributes:
      keys: Of a read: the keys that it asks for.
    """

    version: int
    flags: int
    stream: int
    opcode: int
    body: bytes

    def encoded(self) -> bytes:
        return _HEADER.pack(self.version, self.flags, self.stream, self.opcode, len(self.body)) + self.body

    @property
    def keys(self) -> list[bytes]:
        at = 2 + struct.unpack_from(">H", self.body)[0] + 3  # The statement's id, the consistency and the flags.
        (values,) = struct.unpack_from(">H", self.body, at)
        assert self.opcode == _EXECUTE and values == 1
        (length,) = struct.unpack_from(">i", self.body, at + 2)
        value = self.body[at + 6 : at + 6 + length]
        return [value] if length == 16 else _list_of(value)


Change = Callable[[Frame], bytes]  # The reply -> the bytes that are sent in its place. May raise Cut.
Rule = Callable[[Frame], Change | None]  # A read -> what becomes of its reply.


class CqlProxy(Proxy):
    """A Proxy whose replies a test can spoil one by one.

    Attributes:
      rule: Asked about each read.
      reads: Every read so far, in the order of their arrival.
      unanswered: Number of reads that the client has no reply to, replies held back included.
    """

    def __init__(self, server: tuple[str, int], *, listen_on: str = "127.0.0.1", port: int = 0) -> None:
        self.rule: Rule | None = None
        self.reads: list[Frame] = []
        self.unanswered = 0
        self._changed = threading.Condition()
        super().__init__(server, listen_on=listen_on, port=port)

    @property
    def keys_asked(self) -> list[bytes]:
        return [key for read in list(self.reads) for key in read.keys]

    def wait_until_unanswered(self, count: int, timeout_s: float = 30.0) -> None:
        """Waits until exactly so many reads are unanswered."""
        with self._changed:
            done = self._changed.wait_for(lambda: self.unanswered == count, timeout_s)
            assert done, f"{self.unanswered} reads are unanswered after {timeout_s} s, not {count}"

    def _transfers(self) -> tuple[Transfer, Transfer]:
        changes: dict[int, Change | None] = {}  # By the stream of the read.

        def on_request(frame: Frame) -> bytes:
            if frame.opcode == _EXECUTE:
                with self._changed:
                    self.reads.append(frame)
                    self.unanswered += 1
                    self._changed.notify_all()
                changes[frame.stream] = self.rule(frame) if self.rule else None
            return frame.encoded()

        def on_reply(frame: Frame) -> bytes:
            if frame.stream not in changes:
                return frame.encoded()
            change = changes.pop(frame.stream)
            self._hold()
            with self._changed:
                self.unanswered -= 1
                self._changed.notify_all()
            return change(frame) if change else frame.encoded()

        return _by_frame(on_request), _by_frame(on_reply)


def _by_frame(handle: Callable[[Frame], bytes]) -> Transfer:
    buffered = bytearray()

    def transfer(part: bytes) -> bytes:
        buffered.extend(part)
        out = bytearray()
        while len(buffered) >= _HEADER.size:
            version, flags, stream, opcode, length = _HEADER.unpack_from(buffered)
            if len(buffered) < _HEADER.size + length:
                break
            body = bytes(buffered[_HEADER.size : _HEADER.size + length])
            del buffered[: _HEADER.size + length]
            try:
                out += handle(Frame(version, flags, stream, opcode, body))
            except Cut as cut:
                raise Cut(bytes(out) + cut.last) from None
        return bytes(out)

    return transfer


# What becomes of a reply.


def error(code: int, message: str = "made by the test") -> Change:
    """An error of the server in place of the reply."""
    consistency, alive, required = 10, 0, 1
    details = {
        UNAVAILABLE: struct.pack(">Hii", consistency, required, alive),
        READ_TIMEOUT: struct.pack(">HiiB", consistency, alive, required, 0),
        READ_FAILURE: struct.pack(">HiiiB", consistency, alive, required, 1, 0),
    }
    text = message.encode()
    body = struct.pack(">iH", code, len(text)) + text + details.get(code, b"")
    return lambda reply: Frame(_RESPONSE, 0, reply.stream, _ERROR, body).encoded()


def unprepared(read: Frame) -> Change:
    """The server does not know the statement of that read; the client may prepare it again."""
    length = 2 + struct.unpack_from(">H", read.body)[0]
    text = b"forgotten"
    body = struct.pack(">iH", UNPREPARED, len(text)) + text + read.body[:length]
    return lambda reply: Frame(_RESPONSE, 0, reply.stream, _ERROR, body).encoded()


def lost(reply: Frame) -> bytes:
    """Nothing is sent: the read is never answered."""
    return b""


def cut_in_the_middle(reply: Frame) -> bytes:
    """Half of the frame, then the end of the connection."""
    whole = reply.encoded()
    raise Cut(whole[: len(whole) // 2])


def cut_before(reply: Frame) -> bytes:
    """The end of the connection in place of the reply."""
    raise Cut


def noise(reply: Frame) -> bytes:
    """Random bytes in place of the frame, header included."""
    return random.Random(5).randbytes(len(reply.encoded()) + 64)


def noisy_body(reply: Frame) -> bytes:
    """A right header, and random bytes after it."""
    return dataclasses.replace(reply, flags=0, body=random.Random(6).randbytes(len(reply.body))).encoded()


def fewer_rows_than_said(reply: Frame) -> bytes:
    """A frame that ends before its last row; the number of rows says that it is there."""
    before, rows = _rows_of(reply)
    body = before + struct.pack(">i", len(rows)) + b"".join(rows[:-1])
    return dataclasses.replace(reply, body=body).encoded()


def reversed_rows(reply: Frame) -> bytes:
    """The rows, last one first."""
    before, rows = _rows_of(reply)
    return _with_rows(reply, before, rows[::-1])


def without_row(key: bytes) -> Change:
    """The rows but that of `key`, as if it were not in the table."""

    def change(reply: Frame) -> bytes:
        before, rows = _rows_of(reply)
        return _with_rows(reply, before, [row for row in rows if row[4 : 4 + 16] != key])

    return change


def _with_rows(reply: Frame, before: bytes, rows: Sequence[bytes]) -> bytes:
    return dataclasses.replace(reply, body=before + struct.pack(">i", len(rows)) + b"".join(rows)).encoded()


def _rows_of(reply: Frame) -> tuple[bytes, list[bytes]]:
    """The body up to the number of rows, and the encoded rows; the first cell of a row is the key."""
    body, at = reply.body, 0
    assert reply.opcode == _RESULT
    if reply.flags & _WARNINGS:
        (count,) = struct.unpack_from(">H", body)
        at = 2
        for _ in range(count):
            at += 2 + struct.unpack_from(">H", body, at)[0]
    kind, flags, columns = struct.unpack_from(">iii", body, at)
    at += 12
    # The driver asks for rows without the names and types that it knows from preparing.
    assert kind == _ROWS and flags & _NO_METADATA and not flags & _MORE_PAGES
    (count,) = struct.unpack_from(">i", body, at)
    before = body[:at]
    at += 4
    rows = []
    for _ in range(count):
        start = at
        for _ in range(columns):
            at += 4 + max(struct.unpack_from(">i", body, at)[0], 0)
        rows.append(body[start:at])
    return before, rows


def _list_of(value: bytes) -> list[bytes]:
    (count,) = struct.unpack_from(">i", value)
    return [value[8 + 20 * i : 24 + 20 * i] for i in range(count)]  # Each of 16 bytes, after its length.


# Which reads.


def always(change: Change) -> Rule:
    return lambda read: change


def first(count: int, change: Change) -> Rule:
    """Only the first `count` reads that it is asked about."""
    return first_by(count, always(change))


def first_by(count: int, rule: Rule) -> Rule:
    left = iter(range(count))
    lock = threading.Lock()

    def limited(read: Frame) -> Change | None:
        with lock:  # Connections have threads of their own.
            due = next(left, None) is not None
        return rule(read) if due else None

    return limited


def each_key(times: int, change: Change) -> Rule:
    """Reads with a key that was in fewer than `times` reads before."""
    seen: dict[bytes, int] = {}
    lock = threading.Lock()

    def rule(read: Frame) -> Change | None:
        with lock:
            fresh = any(seen.get(key, 0) < times for key in read.keys)
            for key in read.keys:
                seen[key] = seen.get(key, 0) + 1
            return change if fresh else None

    return rule


def of_key(key: bytes, change: Change) -> Rule:
    return lambda read: change if key in read.keys else None


def shuffled(proxy: CqlProxy, at_once: int) -> Rule:
    """Holds replies back until `at_once` are there, or all that were asked for, and sends those in a random order.

    For a client with one connection.
    """
    held: list[bytes] = []
    rng = random.Random(4)

    def change(reply: Frame) -> bytes:
        held.append(reply.encoded())
        if len(held) < at_once and proxy.unanswered > 0:
            return b""
        rng.shuffle(held)
        together = b"".join(held)
        held.clear()
        return together

    return always(change)


@contextmanager
def cql_proxy_of(server: tuple[str, int]) -> Iterator[CqlProxy]:
    proxy = CqlProxy(server)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def cql_proxies_of(hosts: Sequence[str], port: int) -> Iterator[list[CqlProxy]]:
    """A proxy before each node of a cluster, all on one port of the nodes' own addresses.

    So a driver that learns the nodes' addresses from the cluster, and takes its own port for all of them, goes through
    the proxies everywhere.
    """
    with ExitStack() as stack:
        shared = ports.free_port(hosts)
        proxies = []
        for host in hosts:
            proxies.append(CqlProxy((host, port), listen_on=host, port=shared))
            stack.callback(proxies[-1].close)
        yield proxies
