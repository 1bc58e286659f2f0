"""The programs in C++ beside this file, as Bazel built them."""

import dataclasses
import json
import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import BenchmarkError
from tfcass._ops import driver_in_wheel

if TYPE_CHECKING:
    from benchmarks.tables import Reading

_ROOT = Path(__file__).resolve().parent.parent
_TIMEOUT_S = 240.0


def binary(name: str) -> Path:
    """A built program.

    Raises:
      BenchmarkError: It is not built.
    """
    path = _ROOT / "bazel-bin" / "benchmarks" / name
    if not path.is_file():
        raise BenchmarkError(f"{path} is absent; build it with `bazel build //benchmarks:all`, as `make bench` does")
    return path


@dataclasses.dataclass(frozen=True)
class Loop:
    """What the raw loop says of its reading; see raw_loop.cc."""

    rows: int
    bytes: int
    seconds: float
    rows_per_s: float
    cpu_us_per_row: float
    p50_ms: float
    p99_ms: float


@dataclasses.dataclass(frozen=True)
class Shape:
    """How the raw loop asks.

    Attributes:
      window: Requests in flight.
      group: Keys per request, of one owner and pinned to it; None for single keys routed by token.
    """

    window: int
    group: int | None = None

    def __str__(self) -> str:
        if self.group is None:
            return f"{self.window} requests in flight"
        return f"{self.group} keys a request, {self.window} requests in flight"


def raw_loop(reading: "Reading", shape: Shape, *, warm_s: float, measure_s: float, rows: int = 0) -> Loop:
    """Runs the raw loop once.

    Args:
      reading: Where, and which keys in which order.
      rows: Read exactly these many, in place of `warm_s` and `measure_s`.
    Raises:
      BenchmarkError: It failed; with what it printed.
    """
    command = [
        str(binary("raw_loop")),
        f"--cluster={reading.cluster_file}",
        f"--table={reading.table.name}",
        f"--keys={reading.keys_file}",
        f"--window={shape.window}",
        f"--warm_s={warm_s}",
        f"--measure_s={measure_s}",
        f"--rows={rows}",
        f"--driver_hint={driver_in_wheel() or ''}",
        f"--libpython={_libpython()}",
    ]
    if shape.group is None:
        command.append("--mode=single")
    else:
        hosts = ",".join(reading.hosts)
        command += ["--mode=grouped", f"--group={shape.group}", f"--owners={reading.owners_file}", f"--hosts={hosts}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"the raw loop ({shape}) did not end in {_TIMEOUT_S:g} s") from None
    if done.returncode:
        raise BenchmarkError(f"the raw loop ({shape}) failed: {done.stderr.strip()}")
    return Loop(**json.loads(done.stdout))


class DelayProxy:
    """A running delay_proxy: a far-away server. See proxy()."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def set_round_trip(self, ms: float) -> None:
        """Half of it each way, for all that passes from now on."""
        self._process.stdin.write(f"delay {ms / 2}\n")
        self._process.stdin.flush()
        if self._process.stdout.readline().strip() != "ok":
            raise BenchmarkError(f"the delaying proxy is gone, exit code {self._process.wait(timeout=5)}")


@contextmanager
def proxy(*, listen: str, server: str) -> Iterator[DelayProxy]:
    """A proxy at `listen` in front of `server`, both "address:port", without a delay yet."""
    command: Sequence[str] = [str(binary("delay_proxy")), f"--listen={listen}", f"--server={server}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout.readline().strip() != "ready":
                raise BenchmarkError(f"the delaying proxy does not listen on {listen}; its reason is above")
            yield DelayProxy(process)
        finally:
            process.stdin.close()  # Which ends it.


def proxy_ceiling_mb_per_s(round_trip_ms: float, *, seconds: float) -> float:
    """What the proxy moves by itself over one connection."""
    command = [str(binary("delay_proxy")), "--ceiling", f"--delay_ms={round_trip_ms / 2}", f"--seconds={seconds}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)["mb_per_s"]


def _libpython() -> str:
    """Python's own library, whose symbols the driver inside the acsylla wheel wants."""
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    path = Path(folder or "", name or "")
    return str(path) if name and ".so" in name and path.is_file() else ""
