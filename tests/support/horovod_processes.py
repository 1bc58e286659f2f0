"""Runs a script on real Horovod processes of this machine, over loopback only."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_on_ranks(
    script: Path, args: Sequence[object], *, size: int, timeout_s: float = 300, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """`horovodrun --gloo -np size`; at the timeout all of it is killed, and AssertionError shows its output."""
    return _horovodrun(["-np", size, "-H", f"localhost:{size}"], script, args, timeout_s=timeout_s, env=env or {})


def run_elastic(
    script: Path, args: Sequence[object], hosts: Path, *, timeout_s: float = 300
) -> subprocess.CompletedProcess:
    """An elastic run of 1 to 2 processes, begun with one on each of two names of this machine.

    `hosts` is the file that says which there are, TFCASS_TEST_HOSTS to the processes. horovodrun does not use a name
    again of which a process was lost.
    """
    hosts.write_text("localhost:1\n127.0.0.1:1\n")
    ask = hosts.with_suffix(".sh")
    ask.write_text(f"#!/bin/sh\ncat '{hosts}'\n")
    ask.chmod(0o755)
    options = ["-np", 2, "--min-np", 1, "--max-np", 2, "--host-discovery-script", ask]
    # Those that train already wait for one that joins to import TensorFlow, which a busy machine takes its time for.
    options += ["--gloo-timeout-seconds", int(timeout_s), "--start-timeout", int(timeout_s)]
    return _horovodrun(options, script, args, timeout_s=timeout_s, env={"TFCASS_TEST_HOSTS": str(hosts)})


def _horovodrun(
    options: Sequence[object], script: Path, args: Sequence[object], *, timeout_s: float, env: Mapping[str, str]
) -> subprocess.CompletedProcess:
    horovodrun = Path(sys.executable).with_name("horovodrun")
    command = [horovodrun, "--gloo", *options, "--network-interface", "lo", sys.executable, script, *args]
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **_quiet(), **env},
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"{script.name} still ran after {timeout_s} s:\n{output}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def run_alone(
    script: Path, args: Sequence[object], *, timeout_s: float = 300, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """The same script as one plain process."""
    return subprocess.run(
        [sys.executable, str(script), *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        env={**os.environ, **_quiet(), **(env or {})},
    )


def _quiet() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1"}
