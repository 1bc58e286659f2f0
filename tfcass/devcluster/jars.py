"""Cassandra itself: its jars, fetched once by Maven and kept in the cache folder.

`python -m tfcass.devcluster.jars` fetches them ahead of time and prints the folder.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tfcass.errors import DevClusterError, TfcassError

CASSANDRA_VERSION = "5.0.5"
_POM = Path(__file__).with_name("pom.xml")
_TIMEOUT_S = 1200


def cache_home() -> Path:
    """The folder of what was downloaded or built and can be made again: TFCASS_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("TFCASS_CACHE"):
        return Path(chosen).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "tfcass"


def jar_folder() -> Path:
    """Where Cassandra's jars are, or will be once fetched."""
    return cache_home() / "cassandra" / CASSANDRA_VERSION


def have_jars() -> bool:
    return (jar_folder() / f"cassandra-all-{CASSANDRA_VERSION}.jar").is_file()


def ensure_jars(progress: Callable[[str], None] = lambda message: None) -> Path:
    """Fetches Cassandra's jars unless they are there.

    Args:
      progress: Told what is being done.
    Returns:
      Their folder. It appears whole or not at all, also when two processes fetch at once.
    Raises:
      DevClusterError: Maven is absent or failed, or the cache folder cannot be written.
    """
    if have_jars():
        return jar_folder()
    maven = shutil.which("mvn")
    if maven is None:
        raise DevClusterError(
            f"Cassandra's jars are not in {jar_folder()} and Maven (mvn), which fetches them, is not on PATH; "
            "install it, for example `apt-get install maven`"
        )
    try:
        with _one_at_a_time(jar_folder().parent):
            if not have_jars():  # Else another process fetched them while we waited.
                progress(f"Fetching Cassandra {CASSANDRA_VERSION} with Maven (about 66 MB, once)")
                _fetch(maven)
    except OSError as error:
        raise DevClusterError(
            f"cannot write Cassandra's jars to {jar_folder()}: {error.strerror}; set TFCASS_CACHE"
        ) from error
    return jar_folder()


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(maven: str) -> None:
    target = jar_folder()
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=target.parent) as scratch:
        jars = Path(scratch) / "jars"
        command = [maven, "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
        command += [f"-Dcassandra.version={CASSANDRA_VERSION}", f"-DoutputDirectory={jars}"]
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise DevClusterError(
                f"Maven did not fetch Cassandra within {_TIMEOUT_S} s; check the network and try again"
            ) from error
        if done.returncode != 0 or not (jars / f"cassandra-all-{CASSANDRA_VERSION}.jar").is_file():
            last = "\n".join(f"  {line}" for line in done.stdout.strip().splitlines()[-15:])
            raise DevClusterError(
                f"Maven could not fetch Cassandra {CASSANDRA_VERSION} (exit status {done.returncode}):\n{last}"
            )
        shutil.rmtree(target, ignore_errors=True)  # A folder without the main jar is no use to anybody.
        jars.rename(target)


def main() -> int:
    try:
        print(ensure_jars(lambda message: print(message, file=sys.stderr)))
    except TfcassError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
