"""How a Cassandra cluster is reached: addresses, credentials, TLS.

The classes hold settings and no connection: they are frozen, compare by value, and travel to other processes by pickle.
`Cluster.session()` opens a control-plane connection with cassandra-driver; the fetch op opens its own from the same
settings.

_security.py   PasswordAuth, Tls            _secrets.py   passwords given in the clear, for the op
_connect.py    sessions and their errors    _probe.py     why an address does not answer
"""

import dataclasses
import ipaddress
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from tfcass._security import PasswordAuth, Tls
from tfcass.errors import OptionError

if TYPE_CHECKING:
    from cassandra.cluster import Session

__all__ = ["Cluster", "PasswordAuth", "Tls"]


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A Cassandra cluster and how to reach it. Opens nothing until it is used.

        tfcass.Cluster(["10.0.0.1"], local_dc="dc1", auth=tfcass.PasswordAuth("reader", password_env="CASS_PW"))

    Attributes:
      contact_points: Addresses or host names to connect to first, at least one; the other nodes are learnt from these.
      port: CQL port of every node, in [1, 65535].
      local_dc: The datacenter that reads stay in; None means that of the contact point which answers.
      auth: Credentials, or None for a server that asks for none.
      tls: TLS settings, or None for plain connections.
      connect_timeout_s: Seconds that connecting may take, positive.
    Raises:
      OptionError: A field is outside what is accepted; the message names it, its value and the fix.
    """

    contact_points: Sequence[str]
    _: dataclasses.KW_ONLY
    port: int = 9042
    local_dc: str | None = None
    auth: PasswordAuth | None = None
    tls: Tls | None = None
    connect_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "contact_points", _checked_contact_points(self.contact_points))
        if not _is_number(self.port, int) or not 1 <= self.port <= 65535:
            raise OptionError(f"Cluster(port={self.port!r}): port must be an integer in [1, 65535]")
        if self.local_dc is not None and (not isinstance(self.local_dc, str) or not self.local_dc):
            raise OptionError(f"Cluster(local_dc={self.local_dc!r}): local_dc must be a datacenter's name, or None")
        # The types alone: a wrong value here may well be a password.
        if self.auth is not None and not isinstance(self.auth, PasswordAuth):
            kind = type(self.auth).__name__
            raise OptionError(f"Cluster(auth=...): auth must be a tfcass.PasswordAuth or None, got {kind}")
        if self.tls is not None and not isinstance(self.tls, Tls):
            raise OptionError(f"Cluster(tls={self.tls!r}): tls must be a tfcass.Tls or None")
        timeout = self.connect_timeout_s
        if not _is_number(timeout, (int, float)) or not 0 < timeout < math.inf:  # NaN fails the comparison.
            raise OptionError(f"Cluster(connect_timeout_s={timeout!r}): must be a positive number of seconds")
        object.__setattr__(self, "connect_timeout_s", float(timeout))

    @contextmanager
    def session(self) -> "Iterator[Session]":
        """A cassandra-driver Session, closed on exit. Threads may share it; a forked child must open its own.

        What the driver raises when the cluster cannot be used leaves the block as the errors below.

        Raises:
          ClusterError: No contact point answers as a Cassandra server, or `local_dc` is unknown.
          AuthenticationError: The server refused the credentials, or wants some and none were given.
          TlsError: The handshake failed, or one side speaks TLS and the other does not.
          OptionError: The password cannot be read from its environment variable or file.
          MissingExtraError: cassandra-driver is absent.
        """
        from tfcass._connect import open_session

        with open_session(self) as session:
            yield session

    def _canonical(self) -> str:
        """The text that the op parses: one `name=value` line a field, sorted by name, values percent-encoded.

        What is None has an empty value or no line. A password is in it by reference only.
        """
        fields = {
            "connect_timeout_s": repr(self.connect_timeout_s),
            "contact_points": ",".join(self.contact_points),
            "local_dc": self.local_dc or "",
            "password_ref": "",
            "port": str(self.port),
            "tls": "0",
            "username": "",
        }
        if self.auth is not None:
            fields |= {"username": self.auth.username, "password_ref": self.auth._reference()}
        if self.tls is not None:
            fields |= {
                "tls": "1",
                "tls_ca": self.tls._ca_file(),
                "tls_cert": self.tls.cert or "",
                "tls_key": self.tls.key or "",
                "tls_verify_hostname": str(int(self.tls.verify_hostname)),
            }
        return "".join(f"{name}={quote(value, safe='')}\n" for name, value in sorted(fields.items()))


def _checked_contact_points(points: object) -> tuple[str, ...]:
    if isinstance(points, str):
        fix = [part.strip() for part in points.split(",") if part.strip()] or ["127.0.0.1"]
        raise OptionError(f"Cluster({points!r}): contact_points must be a list of addresses; pass Cluster({fix!r})")
    if not isinstance(points, Sequence) or isinstance(points, bytes):
        raise OptionError(f"Cluster({points!r}): contact_points must be a list of addresses, as in ['127.0.0.1']")
    if not points:
        raise OptionError("Cluster([]): contact_points is empty; pass the address of at least one node")
    for position, point in enumerate(points):
        where = f"Cluster(contact_points[{position}]={point!r})"
        if not isinstance(point, str) or not point or any(sign in point for sign in ", /\t\n@"):
            raise OptionError(f"{where}: must be one address or host name, as in '10.0.0.1'")
        if ":" in point and not _is_ip(point):
            host, _, port = point.rpartition(":")
            raise OptionError(f"{where}: the port goes apart; pass Cluster([{host!r}], port={port})")
    return tuple(points)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_number(value: object, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
