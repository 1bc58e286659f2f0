"""Finds a Java that Cassandra 5 runs on."""

import dataclasses
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tfcass.errors import DevClusterError

# Cassandra 5.0 is released for these; newer ones lack the SecurityManager that it installs.
SUPPORTED = (17, 11)
_FOLDERS = (Path("/usr/lib/jvm"), Path("/Library/Java/JavaVirtualMachines"))
_INSTALL = "install one, for example `apt-get install openjdk-17-jre-headless`, or point JAVA_HOME at it"


@dataclasses.dataclass(frozen=True)
class Java:
    """A Java program: its path and its feature version, such as 17."""

    path: Path
    version: int


def find_java(environ: Mapping[str, str] | None = None, folders: Sequence[Path] = _FOLDERS) -> Java:
    """The first Java 17, else 11, in JAVA_HOME, on PATH, or in the usual folders.

    Args:
      environ: Environment to look in; that of this process by default.
      folders: Folders whose folders are Java installations.
    Raises:
      DevClusterError: There is none, or only versions that Cassandra does not run on; names those.
    """
    found = [java for path in _candidates(os.environ if environ is None else environ, folders) if (java := _ask(path))]
    for version in SUPPORTED:
        for java in found:
            if java.version == version:
                return java
    needed = " or ".join(str(version) for version in SUPPORTED)
    if not found:
        raise DevClusterError(
            f"no Java found (looked in JAVA_HOME, PATH, {folders[0]}); Cassandra needs Java {needed}: {_INSTALL}"
        )
    versions = ", ".join(f"{java.version} at {java.path}" for java in found)
    raise DevClusterError(f"found only Java {versions}; Cassandra needs Java {needed}: {_INSTALL}")


def _candidates(environ: Mapping[str, str], folders: Sequence[Path]) -> Iterator[Path]:
    seen = set()
    for path in _places(environ, folders):
        real = path.resolve()
        if real not in seen and os.access(path, os.X_OK) and path.is_file():
            seen.add(real)
            yield path


def _places(environ: Mapping[str, str], folders: Sequence[Path]) -> Iterator[Path]:
    if environ.get("JAVA_HOME"):
        yield Path(environ["JAVA_HOME"]) / "bin" / "java"
    if on_path := shutil.which("java", path=environ.get("PATH", os.defpath)):
        yield Path(on_path)
    for folder in folders:
        yield from sorted(folder.glob("*/bin/java"))
        yield from sorted(folder.glob("*/Contents/Home/bin/java"))


@functools.cache
def _ask(path: Path) -> Java | None:
    """Runs `java -version`; None if that fails."""
    try:
        done = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return Java(path, int(match[1])) if match else None
