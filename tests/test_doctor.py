"""`tfcass doctor`: one screen, whatever is broken."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tfcass.cli import app, checks
from tfcass.cli.checks import Absent, Check
from tfcass.errors import ClusterError


def raising(error: BaseException):
    def look() -> str:
        raise error

    return look


def only(monkeypatch, *chosen: Check) -> None:
    monkeypatch.setattr(checks, "checks", lambda *arguments, **options: iter(chosen))


def doctor(*arguments: str):
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_all_well_exits_with_0(monkeypatch):
    only(monkeypatch, Check("thing", lambda: "1.2 here", "", required=True))

    result = doctor()

    assert result.exit_code == 0
    assert result.stdout == "✓ thing  1.2 here\n\nFit.\n"


def test_a_needed_thing_that_is_absent_exits_with_1_and_shows_the_fix(monkeypatch):
    only(monkeypatch, Check("thing", raising(Absent("not installed")), "pip install thing", required=True))

    result = doctor()

    assert result.exit_code == 1
    assert result.stdout == "✗ thing  not installed\n         fix: pip install thing\n\nNot fit: thing\n"


def test_an_optional_thing_that_is_absent_does_not_fail(monkeypatch):
    only(monkeypatch, Check("thing", raising(Absent("not installed")), "pip install thing"))

    result = doctor()

    assert result.exit_code == 0
    assert "– thing" in result.stdout and "fix: pip install thing" in result.stdout


@pytest.mark.parametrize(
    "error", [OSError("libthing.so: file too short"), SystemExit(3), AttributeError("x"), ClusterError("no answer")]
)
def test_whatever_a_check_raises_the_others_are_shown(monkeypatch, error):
    only(monkeypatch, Check("first", raising(error), "mend it"), Check("second", lambda: "fine", ""))

    result = doctor()

    assert result.exit_code == 0  # `first` is optional.
    assert "✗ first" in result.stdout and str(error) in result.stdout
    assert "✓ second  fine" in result.stdout
    assert "Fit, but for: first" in result.stdout


def test_a_package_that_an_extra_brings_is_absent_and_the_command_is_told(monkeypatch):
    only(monkeypatch, Check("thing", raising(ModuleNotFoundError("No module named 'psutil'", name="psutil")), "no fix"))

    result = doctor()

    assert result.exit_code == 0
    assert "–" in result.stdout and "psutil" in result.stdout
    assert "pip install 'tfcass[devcluster]'" in " ".join(result.stdout.split())


def test_ctrl_c_is_no_finding(monkeypatch):
    only(monkeypatch, Check("slow", raising(KeyboardInterrupt()), ""))

    assert doctor().exit_code == 130


def program(*arguments: str, **environment: str) -> tuple[int, dict[str, dict]]:
    """Runs it as a user does, in a process of its own: Horovod and TensorFlow stay out of this one."""
    done = subprocess.run(
        [sys.executable, "-m", "tfcass.cli", "doctor", "--json", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.stderr == ""
    return done.returncode, {finding["name"]: finding for finding in json.loads(done.stdout)}


@pytest.mark.timeout(200)
def test_a_broken_driver_and_an_absent_cluster_are_found(tmp_path):
    broken = tmp_path / "libcassandra.so"
    broken.write_bytes(b"")

    status, found = program(TFCASS_DRIVER=str(broken), TFCASS_HOME=str(tmp_path / "home"), JAVA_HOME=str(tmp_path))

    assert status == 1
    assert found["C driver"]["state"] == "broken" and str(broken) in found["C driver"]["detail"]
    assert "TFCASS_DRIVER" in found["C driver"]["fix"]
    assert {found[name]["state"] for name in ("Python", "TensorFlow", "Python driver", "Java")} == {"ok"}


@pytest.mark.timeout(200)
def test_a_fit_machine_and_cluster(cassandra, keyspace):
    from tfcass.schema import create_tables

    create_tables(cassandra, keyspace)

    status, found = program(keyspace, "--host", cassandra.contact_points[0], "--port", str(cassandra.port))

    assert {name: finding["state"] for name, finding in found.items() if finding["required"]} == {
        "Python": "ok",
        "TensorFlow": "ok",
        "op library": "ok",
        "C driver": "ok",
        "Python driver": "ok",
        "cluster": "ok",
        "schema": "ok",
    }
    assert status == 0
    assert "5.0.5" in found["cluster"]["detail"]


def test_a_cluster_that_was_named_and_does_not_answer_is_a_problem(monkeypatch):
    every = checks.checks
    monkeypatch.setattr(
        checks,
        "checks",
        lambda *arguments, **options: [check for check in every(*arguments, **options) if check.name == "cluster"],
    )

    result = doctor("--host", "127.0.0.1", "--port", "1")

    assert result.exit_code == 1
    assert "✗ cluster" in result.stdout and "127.0.0.1:1" in result.stdout
