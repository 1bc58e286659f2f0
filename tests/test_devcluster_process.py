"""Processes of the development cluster: known again, stopped, and never mistaken for another's."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tfcass.devcluster import process

MARKER = "-Dmarker=this test"
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)", MARKER]
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


@pytest.fixture
def sleeper(tmp_path: Path):
    process_id = process.spawn(SLEEP, output=tmp_path / "log")
    wait_for(psutil.Process(process_id.pid).cmdline)  # The kernel lays the arguments out a moment after the start.
    yield process_id
    if running := process.find(process_id, marker=MARKER):
        process.stop(running, grace_s=0)


def wait_for(condition, *, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about in time"
        time.sleep(0.01)


def test_a_process_is_found_by_its_identity(sleeper):
    assert process.find(sleeper, marker=MARKER).pid == sleeper.pid


def test_a_process_is_out_of_reach_of_ctrl_c_in_our_terminal(sleeper):
    assert os.getsid(sleeper.pid) == sleeper.pid != os.getsid(0)


def test_output_and_errors_go_to_the_file(tmp_path):
    log = tmp_path / "log"
    log.write_text("of an earlier start")

    process.spawn([sys.executable, "-c", "import os; os.write(1, b'out '); os.write(2, b'err')"], output=log)

    wait_for(lambda: log.read_text() == "out err")


def test_a_pid_that_was_given_to_a_later_process_is_not_found(sleeper):
    earlier = dataclasses.replace(sleeper, started=sleeper.started - 3600)

    assert process.find(earlier, marker=MARKER) is None


def test_a_process_without_the_marker_is_not_found(sleeper):
    assert process.find(sleeper, marker="-Dmarker=another") is None


def test_a_process_that_ended_is_not_found_though_nobody_waited_for_it(sleeper):
    os.kill(sleeper.pid, signal.SIGKILL)

    wait_for(lambda: process.find(sleeper, marker=MARKER) is None and not psutil.pid_exists(sleeper.pid))


def test_stop_ends_a_process(sleeper):
    process.stop(process.find(sleeper, marker=MARKER), grace_s=10)

    assert not psutil.pid_exists(sleeper.pid)


def test_stop_kills_a_process_that_does_not_listen(tmp_path):
    log = tmp_path / "log"
    deaf = process.spawn([sys.executable, "-c", DEAF, MARKER], output=log)
    wait_for(lambda: log.read_text() == "deaf\n")

    process.stop(process.find(deaf, marker=MARKER), grace_s=0.2)

    assert not psutil.pid_exists(deaf.pid)


def test_stop_does_not_wait_for_a_parent_that_never_asks(tmp_path):
    """A node started by one process and stopped by another stays a zombie until the first one asks how it ended."""
    program = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program, *SLEEP], stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        try:
            started = time.monotonic()
            process.stop(child, grace_s=20)
            assert time.monotonic() - started < 15
            assert child.status() == psutil.STATUS_ZOMBIE
        finally:
            parent.kill()
