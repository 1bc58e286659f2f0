"""What a cluster's folder remembers between commands, and the lock that lets one command at a time change it."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from tfcass._files import locked_folder, replace_file
from tfcass.devcluster.process import ProcessId
from tfcass.devcluster.settings import Settings
from tfcass.errors import DevClusterError

_VERSION = 1


@dataclasses.dataclass
class State:
    """A cluster that was started in a folder, running or not.

    Attributes:
      settings: As it was asked for last. The data in the folder is that of `settings.nodes` nodes.
      cql_port: Port of CQL on every node; differs from settings.port where that is 0.
      storage_port: Port on which the nodes talk to each other.
      jmx_ports: Port of JMX, which nodetool uses, of each node.
      processes: The process of each node; None where it was stopped.
    """

    settings: Settings
    cql_port: int
    storage_port: int
    jmx_ports: list[int]
    processes: list[ProcessId | None]


def load(home: Path) -> State | None:
    """The state of the cluster in that folder; None if there never was one.

    Raises:
      DevClusterError: state.json is damaged.
    """
    path = home / "state.json"
    try:
        fields = json.loads(path.read_text())
        if fields.pop("version") != _VERSION:
            raise ValueError("it is of another version of tfcass")
        fields["settings"] = Settings(**fields["settings"])
        fields["processes"] = [entry and ProcessId(**entry) for entry in fields["processes"]]
        return State(**fields)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DevClusterError(
            f"{path} is damaged ({error}); "
            f"make sure that no node of it runs (ps aux | grep cassandra.storagedir={home}), then delete {home}"
        ) from error


def save(home: Path, state: State) -> None:
    """Writes the state so that a reader, or a crash in the middle, sees the old one or the new one whole."""
    text = json.dumps({"version": _VERSION, **dataclasses.asdict(state)}, indent=2) + "\n"
    replace_file(home / "state.json", text.encode())


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """Makes the folder if it is absent and holds its lock.

    Raises:
      DevClusterError: The folder cannot be written, or another command holds the lock.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked_folder(home))
        except BlockingIOError:
            raise DevClusterError(f"another `tfcass dev` command is at work in {home}; wait until it ends") from None
        except OSError as error:
            raise DevClusterError(
                f"cannot write to {home}: {error.strerror}; choose another folder with TFCASS_HOME"
            ) from error
        yield
