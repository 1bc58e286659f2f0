"""What a run ran on: versions, processors, memory, system."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import psutil

import tfcass

_PACKAGES = {
    "TensorFlow": ("tensorflow_cpu", "tensorflow"),
    "Keras": ("keras",),
    "Horovod": ("horovod",),
    "Apache Beam": ("apache-beam",),
    "OpenSlide": ("openslide-bin",),
    "cassandra-driver": ("cassandra-driver",),
    "NumPy": ("numpy",),
    "PyArrow": ("pyarrow",),
}


def describe_environment(cassandra: str) -> Mapping[str, str]:
    """Name -> text, in the order to be shown.

    Args:
      cassandra: Version and nodes, which only the server knows.
    """
    return {
        "Processors": f"{os.cpu_count()} × {_processor()}",
        "Memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "System": _system(),
        "Python": platform.python_version(),
        "tfcass": tfcass.__version__,
        "Cassandra": cassandra,
        **{title: version for title, names in _PACKAGES.items() if (version := _version(names))},
    }


def _version(names: tuple[str, ...]) -> str:
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()
