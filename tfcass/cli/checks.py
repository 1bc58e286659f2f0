"""What `tfcass doctor` looks at. A check is a function that tells what it found, or raises what is wrong."""

import ctypes
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from tfcass._extras import missing_extra
from tfcass.errors import TfcassError

if TYPE_CHECKING:
    import tfcass

_OLDEST_PYTHON = (3, 10)


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
      name: What was looked at.
      state: "ok"; "absent": not there, which only some need; "broken": there and unfit, or absent and always needed.
      detail: What was found.
      fix: What to do, where it is not ok.
      required: Whether tfcass cannot be used without it.
    """

    name: str
    state: Literal["ok", "absent", "broken"]
    detail: str
    fix: str = ""
    required: bool = False


@dataclasses.dataclass(frozen=True)
class Check:
    """A thing to look at.

    Attributes:
      name: What it is.
      look: Returns the detail if all is well; raises Absent, or whatever else is wrong.
      fix: What to do if it is not well.
      required: Whether tfcass cannot be used without it.
    """

    name: str
    look: Callable[[], str]
    fix: str
    required: bool = False

    def run(self) -> Finding:
        """The finding. Nothing that `look` raises gets out, but Ctrl-C."""
        try:
            return Finding(self.name, "ok", self.look(), required=self.required)
        except Absent as error:
            return Finding(self.name, "broken" if self.required else "absent", str(error), self.fix, self.required)
        except KeyboardInterrupt:
            raise
        except ModuleNotFoundError as error:
            detail = str(missing_extra(error, wanted_by="this check") or f"{type(error).__name__}: {error}")
            return Finding(self.name, "broken" if self.required else "absent", detail, required=self.required)
        except TfcassError as error:  # Its message holds the fix.
            return Finding(self.name, "broken", str(error), required=self.required)
        except BaseException as error:  # Native modules raise anything when they are broken, SystemExit included.
            return Finding(self.name, "broken", f"{type(error).__name__}: {error}", self.fix, self.required)


class Absent(Exception):
    """The thing is not there."""


def checks(cluster: "tfcass.Cluster", *, cluster_required: bool, keyspace: str | None) -> Iterator[Check]:
    """The checks, in the order in which they are shown.

    Args:
      cluster: The cluster to reach.
      cluster_required: Whether it is a problem if it cannot be reached: it is if the user named it.
      keyspace: Keyspace whose tables to check; None for none.
    """
    yield Check("Python", _python, f"use Python {'.'.join(map(str, _OLDEST_PYTHON))} or newer", required=True)
    yield Check("TensorFlow", _tensorflow, "pip install tensorflow-cpu (or tensorflow)", required=True)
    yield Check("op library", _op_library, "build it: make setup", required=True)
    fix = "pip install 'tfcass[driver]', or set TFCASS_DRIVER to the path of a driver's shared library"
    yield Check("C driver", _c_driver, fix, required=True)
    yield Check(
        "Python driver", _module("cassandra", "cassandra-driver"), "pip install 'tfcass[driver]'", required=True
    )
    yield Check("OpenSlide", _openslide, "pip install 'tfcass[slides]'")
    yield Check("Beam", _module("apache_beam", "apache-beam"), "pip install 'tfcass[beam]'")
    yield Check("Horovod", _horovod, "make setup, or pip install 'tfcass[horovod]' after TensorFlow")
    yield Check("Java", _java, "apt-get install openjdk-17-jre-headless")
    yield Check("Maven", _maven, "apt-get install maven")
    fix = "start one: tfcass dev up; or name yours: --host, --port, --user, --tls-ca"
    yield Check("cluster", lambda: _cluster(cluster, absent_is_fine=not cluster_required), fix, cluster_required)
    if keyspace is not None:
        yield Check("schema", lambda: _schema(cluster, keyspace), f"tfcass schema create {keyspace}", required=True)


def _python() -> str:
    version = sys.version.split()[0]
    if sys.version_info < _OLDEST_PYTHON:
        raise Absent(f"{version} is too old")
    return f"{version} at {sys.executable}"


def _tensorflow() -> str:
    if importlib.util.find_spec("tensorflow") is None:
        raise Absent("not installed")
    import tensorflow as tf

    return tf.__version__


def _op_library() -> str:
    from tfcass import _ops

    _ops.library()  # Raises if it was built for another TensorFlow.
    return str(_ops.find_library())


def _c_driver() -> str:
    """Looks where the op looks, in its order: ops/driver/loader.h."""
    from tfcass import _ops

    chosen = os.environ.get("TFCASS_DRIVER")
    places = [chosen] if chosen else ["libcassandra.so.2", _ops.driver_in_wheel()]
    problems = []
    for place in filter(None, places):
        try:
            # Apart from TensorFlow's own TLS library, some of whose names are the same.
            library = ctypes.CDLL(place, mode=os.RTLD_LAZY | os.RTLD_LOCAL | os.RTLD_DEEPBIND)
            if hasattr(library, "cass_session_connect"):
                return place
            problems.append(f"{place} is no Cassandra driver")
        except OSError as error:
            problems.append(str(error))
    raise Absent(("TFCASS_DRIVER is set, and " if chosen else "") + ("; ".join(problems) or "none found"))


def _module(module: str, distribution: str) -> Callable[[], str]:
    def look() -> str:
        if importlib.util.find_spec(module) is None:
            raise Absent("not installed")
        importlib.import_module(module)
        return importlib.metadata.version(distribution)

    return look


def _openslide() -> str:
    if importlib.util.find_spec("openslide") is None:
        raise Absent("not installed")
    import openslide

    return f"{openslide.__library_version__} (Python package {openslide.__version__})"


def _horovod() -> str:
    if importlib.util.find_spec("horovod") is None:
        raise Absent("not installed")
    import horovod.tensorflow as hvd

    if not (hvd.gloo_built() or hvd.mpi_built()):
        raise RuntimeError("built without Gloo and MPI: its processes cannot talk to each other")
    return f"{importlib.metadata.version('horovod')} ({', '.join(name for name, built in _controllers(hvd) if built)})"


def _controllers(hvd) -> list[tuple[str, bool]]:
    return [("Gloo", bool(hvd.gloo_built())), ("MPI", bool(hvd.mpi_built()))]


def _java() -> str:
    from tfcass.devcluster.java import find_java

    java = find_java()
    return f"{java.version} at {java.path}"


def _maven() -> str:
    from tfcass.devcluster.jars import have_jars, jar_folder

    if have_jars():
        return f"not needed: Cassandra's jars are in {jar_folder()}"
    maven = shutil.which("mvn")
    if maven is None:
        raise Absent("not on PATH; it fetches Cassandra for `tfcass dev up`")
    return maven


def _cluster(cluster: "tfcass.Cluster", *, absent_is_fine: bool) -> str:
    from tfcass.errors import AuthenticationError, ClusterError, TlsError

    where = f"{', '.join(cluster.contact_points)} port {cluster.port}"
    try:
        with cluster.session() as session:
            row = session.execute("SELECT release_version, data_center FROM system.local").one()
            nodes = len(session.cluster.metadata.all_hosts())
    except (AuthenticationError, TlsError):
        raise
    except ClusterError as error:
        if absent_is_fine:
            raise Absent(f"none answers at {where}") from error
        raise
    size = f"{nodes} node{'s' if nodes > 1 else ''}"
    return f"Cassandra {row.release_version} at {where}: {size}, datacenter {row.data_center}"


def _schema(cluster: "tfcass.Cluster", keyspace: str) -> str:
    from tfcass.schema import check

    check(cluster, keyspace)
    return f"{keyspace} has both tables"
