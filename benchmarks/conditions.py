"""The machine and the versions, in words: a number without them means nothing."""

import functools
import importlib.metadata
import os
import platform
import time
from pathlib import Path

import psutil

from tfcass.devcluster.jars import CASSANDRA_VERSION


def conditions() -> dict[str, str]:
    """Machine, software and moment of a measurement."""
    return {
        "machine": machine(),
        "software": software(),
        "measured": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


@functools.cache
def machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores of {_processor()}, {memory:.0f} GiB, {_system()}"


@functools.cache
def software() -> str:
    driver = os.environ.get("TFCASS_DRIVER") or f"C driver of acsylla {_version('acsylla')}"
    return (
        f"Cassandra {CASSANDRA_VERSION}, Python {platform.python_version()}, TensorFlow {_tensorflow()}, {driver}, "
        f"cassandra-driver {_version('cassandra-driver')}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()


def _tensorflow() -> str:
    for name in ("tensorflow", "tensorflow-cpu"):
        if (version := _version(name)) != "?":
            return version
    return "?"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "?"
