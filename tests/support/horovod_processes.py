"""Runs a script on real Horovod processes of this machine, over loopback only."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_on_ranks(
    script: Path, args: Sequence[object], *, size: int, timeout_s: float = 60, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """`horovodrun --gloo -np size`; at the timeout all of it is killed, and AssertionError shows its output."""
    horovodrun = Path(sys.executable).with_name("horovodrun")
    command = [horovodrun, "--gloo", "-np", size, "-H", f"localhost:{size}", "--network-interface", "lo"]
    process = subprocess.Popen(
        [str(word) for word in [*command, sys.executable, script, *args]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **_quiet(), **(env or {})},
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"{script.name} still ran after {timeout_s} s:\n{output}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def run_alone(
    script: Path, args: Sequence[object], *, timeout_s: float = 60, env: Mapping[str, str] | None = None
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
