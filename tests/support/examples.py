"""Runs the scripts of examples/ inside this process: importing TensorFlow anew would take longer than they do."""

import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path

import pytest

import tfcass
from tfcass import scripts

FOLDER = Path(__file__).parents[2] / "examples"


def load_example(name: str) -> types.ModuleType:
    """examples/<name>.py as a module, with its folder on the path as when it is run."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # TensorFlow looks up the source of functions there.
    spec.loader.exec_module(module)
    return module


def address(cluster: tfcass.Cluster, keyspace: str) -> list[object]:
    """The flags that lead to a keyspace."""
    return ["--contact-points", cluster.contact_points[0], "--port", cluster.port, "--keyspace", keyspace]


def run_example(module: types.ModuleType, args: Sequence[object]) -> None:
    """Runs it; AssertionError if it fails."""
    code = scripts.run(module.main, module.parse_args([str(arg) for arg in args]))
    assert code == 0, f"exit code {code}; see what was captured on stderr"


def error_of_example(module: types.ModuleType, args: Sequence[object], capsys: pytest.CaptureFixture[str]) -> str:
    """Runs what must fail, and returns the one line that says why."""
    capsys.readouterr()
    code = scripts.run(module.main, module.parse_args([str(arg) for arg in args]))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert code == 1
    assert len(lines) == 1, lines
    return lines[0]
