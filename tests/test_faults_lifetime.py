"""Iterators and processes that end with replies outstanding, counted by the proxy that holds those back."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import tfcass
from tests.support import fetch_rows
from tests.support.cql_proxy import lost
from tests.support.epochs import Epoch, truth, wait_until

IN_FLIGHT = 1000
ROWS = 2 * IN_FLIGHT + 200
AT_ONCE_S = 3.0  # Enough for a busy machine.

pytestmark = pytest.mark.timeout(300)  # Machines may be busy.


@pytest.fixture(scope="module")
def patches(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, ROWS) as table:
        yield table


def at(proxy):
    return tfcass.Cluster(["127.0.0.1"], port=proxy.port)


@pytest.mark.parametrize("deterministic", [True, False], ids=["in order", "any order"])
def test_an_iterator_is_destroyed_with_a_thousand_requests_in_flight(patches, proxy, deterministic):
    window = IN_FLIGHT + 1
    options = {"rows_per_request": 1, "max_in_flight": window, "timeout_s": 100.0, "deterministic": deterministic}
    epoch = Epoch(patches.through(at(proxy), **options))
    while len(proxy.reads) - len(epoch.rows) < IN_FLIGHT:  # Until the window is full, of rows that are there.
        epoch.take(1)
        proxy.wait_until_unanswered(0)
    proxy.stall()
    epoch.take(len(proxy.reads) - len(epoch.rows))  # Each makes room for a request that is not answered.
    wait_until(lambda: proxy.unanswered >= IN_FLIGHT, "a thousand requests at the proxy")

    started = time.monotonic()
    del epoch
    assert time.monotonic() - started < AT_ONCE_S

    proxy.flow()  # The late replies find nobody.
    proxy.wait_until_unanswered(0)
    again = Epoch(patches.through(at(proxy)))
    again.rest()
    assert again.rows == truth(patches)


ENDINGS = {
    "the end of the program": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "os._exit": ("os._exit(4)", 4),
    "an exception": ("raise ValueError('of the program')", 1),
    "SIGTERM": ("os.kill(os.getpid(), 15); time.sleep(90)", -15),
    "SIGINT": ("os.kill(os.getpid(), 2); time.sleep(90)", -2),
}


@pytest.mark.parametrize("code, status", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_process_ends_mid_epoch_with_replies_outstanding(patches, proxy, code, status):
    answered, taken = 150, 145  # prefetch() holds the five between, and waits for the next row.
    late = {key.tobytes() for key in patches.keys[answered:]}
    proxy.rule = lambda read: lost if late.intersection(read.keys) else None
    program = f"""
        import os, sys, time
        import numpy as np
        import tfcass
        keys = np.frombuffer(bytes.fromhex("{patches.keys.tobytes().hex()}"), np.uint8).reshape(-1, 16)
        cluster = tfcass.Cluster({list(patches.cluster.contact_points)!r}, port={patches.cluster.port})
        proxied = tfcass.Cluster(["127.0.0.1"], port={proxy.port})
        from tests.support.fetch_rows import Patches
        patches = Patches(cluster, "{patches.keyspace}", "{patches.table}", keys, [], [])
        options = dict(rows_per_request=1, max_in_flight=64, timeout_s=600.0)
        iterator = iter(patches.through(proxied, **options).prefetch(8))
        for _ in range({taken}): next(iterator)
        print("read", flush=True)
        sys.stdin.readline()
        {code}
    """
    root = Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as process:
        try:
            assert process.stdout.readline() == "read\n", process.stderr.read()
            wait_until(lambda: late.intersection(proxy.keys_asked), "requests that are not answered")
            _, errors = process.communicate("\n", timeout=100)
        finally:
            process.kill()

    assert process.returncode == status, errors
    assert "Segmentation" not in errors and "terminate called" not in errors
