"""Runs that end early: what is stored is consistent, nothing keeps running, and the next run completes the tables."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import tfcass
from beam_pipelines.tile_slides import run
from tests.support.tiling import Bench

pytestmark = [pytest.mark.slides, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[1]
SLIDES, SIDE = 3, 6
PATCHES = SIDE * SIDE
DEADLINE_S = 60.0
INTERRUPTED = "interrupted; run it again to go on: patches that are stored are skipped"


@pytest.fixture
def bench(tmp_path, cassandra: tfcass.Cluster, keyspace: str) -> Bench:
    bench = Bench(tmp_path, cassandra, keyspace)
    for number in range(SLIDES):
        bench.annotated_slide(f"p{number}_0", side=SIDE, tissue=SIDE)
    return bench


@contextmanager
def running(bench: Bench, *flags: str) -> Iterator[subprocess.Popen]:
    """A run in a session of its own, slowed by one row in flight, from the moment that patches are being cut."""
    slow = ("--max-in-flight", "1", "--encoding", "tiff")
    command = [sys.executable, "-m", "beam_pipelines.tile_slides", *bench.flags(*slow, *flags)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        wait_until(lambda: process.poll() is not None or "cut" in progress(bench))
        yield process
    finally:
        for member in members(process.pid):
            member.kill()
        process.communicate()


def progress(bench: Bench) -> str:
    try:
        return (bench.output / ".progress").read_text()
    except OSError:
        return ""


def is_progress(line: str) -> bool:
    return "slides planned" in line


def members(session: int) -> list[psutil.Process]:
    """All processes of a session that run."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def wait_until(condition, deadline_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def ids(session, bench: Bench, table: str) -> list:
    return [row.patch_id for row in session.execute(f"SELECT patch_id FROM {bench.keyspace}.{table}")]


def assert_consistent_and_complete_after_a_rerun(session, bench: Bench) -> None:
    data, metadata = set(ids(session, bench, "data_by_uuid")), ids(session, bench, "metadata_by_nat")
    assert set(metadata) <= data and len(set(metadata)) == len(metadata)

    again = run(bench.options(encoding="tiff"))

    assert again.exit_code == 0
    assert (again.total("skipped"), again.total("stored")) == (len(metadata), SLIDES * PATCHES)
    assert again.total("written") == SLIDES * PATCHES - len(metadata)
    assert len(ids(session, bench, "metadata_by_nat")) == len(ids(session, bench, "data_by_uuid")) == SLIDES * PATCHES


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_is_one_line_leaves_no_process_and_a_rerun_completes(
    bench: Bench, cassandra_session, workers: str
) -> None:
    with running(bench, "--workers", workers) as process:
        if workers == "2":
            assert sum("worker.py" in " ".join(member.cmdline()) for member in members(process.pid)) == 2
        os.killpg(process.pid, signal.SIGINT)  # As a terminal does: to all processes of the group.
        out, err = process.communicate(timeout=DEADLINE_S)

        assert (process.returncode, out) == (130, "")
        assert [line for line in err.splitlines() if not is_progress(line)] == [INTERRUPTED]
        wait_until(lambda: not members(process.pid), deadline_s=5)
    assert not (bench.output / "summary.json").exists()
    assert_consistent_and_complete_after_a_rerun(cassandra_session, bench)


def test_workers_end_with_a_launcher_that_is_killed(bench: Bench) -> None:
    with running(bench, "--workers", "2") as process:
        process.kill()

        wait_until(lambda: not members(process.pid), deadline_s=5)


def test_a_worker_that_dies_is_one_clear_error_and_a_rerun_completes(bench: Bench, cassandra_session) -> None:
    with running(bench, "--workers", "2") as process:
        worker = next(member for member in members(process.pid) if "worker.py" in " ".join(member.cmdline()))
        worker.kill()
        _, err = process.communicate(timeout=DEADLINE_S)

        assert process.returncode == 1
        (line,) = [line for line in err.splitlines() if not is_progress(line)]
        assert line.startswith("error: a worker process died")
        wait_until(lambda: not members(process.pid), deadline_s=5)
    assert_consistent_and_complete_after_a_rerun(cassandra_session, bench)
