"""Programs that the demo starts: their logs, their failures, and their end when we are interrupted."""

import signal
import sys
import threading
import time

import psutil
import pytest

from tfcass.demo.children import StageError, run_program, tail

# Starts a grandchild in a session of its own (as horovodrun does), says both pids, and can be told to ignore requests.
_PARENT = """
import os, signal, subprocess, sys, time
if "deaf" in sys.argv:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(os.getpid(), child.pid, flush=True)
time.sleep(600)
"""


def _run(code, log, *arguments, **kwargs):
    run_program([sys.executable, "-c", code, *arguments], log=log, **kwargs)


def test_output_goes_to_the_log_whole(tmp_path):
    log = tmp_path / "logs" / "stage.log"

    _run("import sys; print('out'); print('err', file=sys.stderr)", log)

    assert sorted(log.read_text().split()) == ["err", "out"]


def test_the_environment_reaches_the_program(tmp_path):
    log = tmp_path / "log"

    _run("import os; print(os.environ['TFCASS_X'])", log, env={"TFCASS_X": "seven"})

    assert log.read_text() == "seven\n"


def test_a_failure_shows_the_end_of_the_log_and_its_path(tmp_path):
    log = tmp_path / "stage.log"

    with pytest.raises(StageError) as raised:
        _run("[print(f'line{i}') for i in range(100)]; raise SystemExit(3)", log)

    message = str(raised.value)
    assert "exited with 3" in message
    assert "line99" in message and "line86" in message and "line80" not in message
    assert str(log) in message


def test_a_program_ended_by_a_signal_is_said_to_be(tmp_path):
    with pytest.raises(StageError, match="was ended by SIGKILL"):
        _run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", tmp_path / "log")


def test_a_program_that_is_absent_is_one_clear_error(tmp_path):
    with pytest.raises(StageError, match="cannot start 'no-such-program'.*No such file"):
        run_program(["no-such-program"], log=tmp_path / "log")


def test_the_last_line_is_shown_while_the_program_runs(tmp_path):
    lines = []
    code = "import sys, time; print('tiling 3 of 9', flush=True); sys.stdin.read(); time.sleep(1)"

    _run(code, tmp_path / "log", on_line=lines.append)

    assert "tiling 3 of 9" in lines


@pytest.mark.parametrize("manner", ["polite", "deaf"])
def test_an_interrupt_ends_the_program_and_its_grandchildren(tmp_path, manner):
    log = tmp_path / "log"
    interrupt = threading.Thread(target=_interrupt_when_written, args=(log,))
    interrupt.start()

    with pytest.raises(KeyboardInterrupt):
        _run(_PARENT, log, manner, grace_s=1.0)

    interrupt.join()
    pids = [int(pid) for pid in tail(log, 100)[0].split()]
    assert len(pids) == 2
    assert [pid for pid in pids if _runs(pid)] == []


def test_tail_takes_the_newest_state_of_a_progress_bar(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"epoch 1\n 10%\r 20%\r 30%\r\n\n")

    assert tail(log, 1) == [" 30%"]


def _interrupt_when_written(log):
    deadline = time.monotonic() + 20
    while not (log.exists() and log.read_text().endswith("\n")) and time.monotonic() < deadline:
        time.sleep(0.02)
    signal.raise_signal(signal.SIGINT)


def _runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
