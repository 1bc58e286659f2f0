"""Cassandra itself: its jars, fetched once by Maven and kept in the cache folder.

`python -m tfcass.devcluster.jars` fetches them ahead of time and prints the folder.
"""

import contextlib
import dataclasses
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
_TIMEOUT_S = 1200


def cache_home() -> Path:
    """The folder of what was downloaded or built and can be made again: TFCASS_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("TFCASS_CACHE"):
        return Path(chosen).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "tfcass"


@dataclasses.dataclass(frozen=True)
class JarSet:
    """A Java program as Maven knows it.

    Attributes:
      name, version: For people, and for its folder in the cache.
      artifact: The jar without which the rest is no use: `artifact`-`version`.jar.
      pom: Names it; the version is passed as `name`.version.
      megabytes: What is downloaded, roughly.
    """

    name: str
    version: str
    artifact: str
    pom: Path
    megabytes: int

    @property
    def folder(self) -> Path:
        """Where its jars are, or will be once fetched."""
        return cache_home() / self.name.lower() / self.version

    @property
    def main_jar(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def complete(self, folder: Path) -> bool:
        return (folder / self.main_jar).is_file()


CASSANDRA = JarSet("Cassandra", CASSANDRA_VERSION, "cassandra-all", Path(__file__).with_name("pom.xml"), megabytes=66)


def jar_folder() -> Path:
    """Where Cassandra's jars are, or will be once fetched."""
    return CASSANDRA.folder


def have_jars() -> bool:
    return CASSANDRA.complete(CASSANDRA.folder)


def ensure_jars(progress: Callable[[str], None] = lambda message: None, jars: JarSet = CASSANDRA) -> Path:
    """Fetches Cassandra's jars, or others, unless they are there.

    Args:
      progress: Told what is being done.
      jars: Which.
    Returns:
      Their folder. It appears whole or not at all, also when two processes fetch at once.
    Raises:
      DevClusterError: Maven is absent or failed, or the cache folder cannot be written.
    """
    if jars.complete(jars.folder):
        return jars.folder
    maven = shutil.which("mvn")
    if maven is None:
        raise DevClusterError(
            f"{jars.name}'s jars are not in {jars.folder} and Maven (mvn), which fetches them, is not on PATH; "
            "install it, for example `apt-get install maven`"
        )
    try:
        with _one_at_a_time(jars.folder.parent):
            if not jars.complete(jars.folder):  # Else another process fetched them while we waited.
                progress(f"Fetching {jars.name} {jars.version} with Maven (about {jars.megabytes} MB, once)")
                _fetch(maven, jars)
    except OSError as error:
        raise DevClusterError(
            f"cannot write {jars.name}'s jars to {jars.folder}: {error.strerror}; set TFCASS_CACHE"
        ) from error
    return jars.folder


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(maven: str, jars: JarSet) -> None:
    target = jars.folder
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=target.parent) as scratch:
        fetched = Path(scratch) / "jars"
        command = [maven, "-q", "-B", "-f", str(jars.pom), "dependency:copy-dependencies"]
        command += [f"-D{jars.name.lower()}.version={jars.version}", f"-DoutputDirectory={fetched}"]
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
                f"Maven did not fetch {jars.name} within {_TIMEOUT_S} s; check the network and try again"
            ) from error
        if done.returncode != 0 or not jars.complete(fetched):
            last = "\n".join(f"  {line}" for line in done.stdout.strip().splitlines()[-15:])
            raise DevClusterError(
                f"Maven could not fetch {jars.name} {jars.version} (exit status {done.returncode}):\n{last}"
            )
        shutil.rmtree(target, ignore_errors=True)  # A folder without the main jar is no use to anybody.
        fetched.rename(target)


def main() -> int:
    try:
        print(ensure_jars(lambda message: print(message, file=sys.stderr)))
    except TfcassError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
