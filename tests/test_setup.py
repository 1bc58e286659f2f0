"""The set-up: what a machine without the Debian packages is told, what the locks hold, what `make help` lists."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))


def _system_packages(folder: Path, **programs: str) -> subprocess.CompletedProcess:
    """Runs the check of Debian packages on a machine that has bash and `programs` (name -> script) only."""
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    (folder / "bash").symlink_to("/bin/bash")
    return subprocess.run(
        [ROOT / "tools" / "setup" / "system_packages.sh", "python3.11"],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
    )


def test_who_is_not_root_gets_a_list_of_what_is_missing_and_the_command(tmp_path: Path) -> None:
    done = _system_packages(tmp_path, **{"id": "echo 1000", "make": "", "g++": "", "python3.11": "", "mvn": ""})

    assert done.returncode == 1
    first, _, command = done.stderr.splitlines()
    assert first.startswith("Missing on this machine: bazel-bootstrap openjdk-17-jre-headless")
    missing = first.removeprefix("Missing on this machine: ")
    assert command == f"  sudo apt-get install -y --no-install-recommends {missing}"
    assert not {"g++", "make", "maven", "python3.11"} & set(missing.split())


def test_root_gets_the_missing_packages_installed(tmp_path: Path) -> None:
    present = {"make": "", "g++": "", "python3.11": "", "mvn": "", "bazel": ""}

    done = _system_packages(tmp_path, **present, **{"id": "echo 0", "apt-get": f'echo "$@" >> {tmp_path}/asked'})

    assert done.returncode == 0, done.stderr
    update, install = (tmp_path / "asked").read_text().splitlines()
    assert update.startswith("update")
    assert install.startswith("install -y --no-install-recommends openjdk-17-jre-headless")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_each_locked_package_has_a_version_and_a_hash_and_no_address(lock: Path) -> None:
    text = lock.read_text()

    entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n", "", text).strip())
    assert entries
    assert [
        entry for entry in entries if not re.match(r"[\w.\[\]-]+==\S+ \\\n +--hash=sha256:[0-9a-f]{64}", entry)
    ] == []
    assert "://" not in text


def test_help_lists_every_target() -> None:
    targets = set(re.findall(r"(?m)^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text())) - {"system-packages"}

    done = subprocess.run(
        ["make", "help"], cwd=ROOT, env={**os.environ, "MAKEFLAGS": ""}, capture_output=True, text=True
    )

    listed = dict(re.findall(r"(?m)^  make (\S+) +(\S.*)$", done.stdout))
    assert set(listed) == targets
