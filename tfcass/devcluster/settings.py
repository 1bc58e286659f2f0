"""What a development cluster may be asked to be, and where its folder lies."""

import dataclasses
import os
import re
from pathlib import Path

from tfcass.errors import OptionError

MAX_NODES = 3
DATACENTER = "dc1"


def default_home() -> Path:
    """The folder of the development cluster: TFCASS_HOME, else ~/.tfcass."""
    return Path(os.environ.get("TFCASS_HOME") or Path.home() / ".tfcass").expanduser().absolute()


@dataclasses.dataclass(frozen=True)
class Settings:
    """A development cluster as it is asked for.

    Attributes:
      nodes: Number of Cassandra processes, 1 to 3, on 127.0.0.1 and the addresses after it.
      auth: Ask for a password; the cluster makes a superuser `tfcass` with a password of its own.
      tls: Encrypt client connections, with an authority and certificates of the cluster's own.
      heap: Java heap of each node, as Java writes it: "512m", "2g". Less than 512m may not start.
      port: CQL port of every node; 0 takes a free one.
      advertise: Address that clients are told to reach the node at, for a proxy that listens there on the same port;
        None: its own. For one node only.
    """

    nodes: int = 1
    auth: bool = False
    tls: bool = False
    heap: str = "1g"
    port: int = 9042
    advertise: str | None = None

    def __post_init__(self) -> None:
        if self.nodes not in range(1, MAX_NODES + 1):
            raise OptionError(f"nodes={self.nodes!r} is not 1 to {MAX_NODES}")
        if not re.fullmatch(r"[1-9]\d*[mMgG]", self.heap):
            raise OptionError(f"heap={self.heap!r} is not a size as Java writes it: 512m, 1g, 2g")
        if self.port not in range(65536):
            raise OptionError(f"port={self.port!r} is not 0 (a free one) to 65535")
        if self.advertise is not None and self.nodes != 1:
            raise OptionError(f"advertise={self.advertise!r} goes with nodes=1, not {self.nodes}: it is one address")

    @property
    def hosts(self) -> list[str]:
        """Addresses of the nodes, one each."""
        return [f"127.0.0.{number}" for number in range(1, self.nodes + 1)]

    def differences(self, other: "Settings") -> list[str]:
        """Names the fields in which `other` is not like self: ["nodes=1, asked 3", ...]."""
        return [
            f"{name}={value}, asked {getattr(other, name)}"
            for name, value in dataclasses.asdict(self).items()
            if value != getattr(other, name)
        ]
