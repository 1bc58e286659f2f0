"""Flink in one process of this machine, behind Beam's job server: a pipeline runs on it as on a cluster.

    with flink() as endpoint:
        main([..., "--runner=PortableRunner", f"--job_endpoint={endpoint}", "--environment_type=LOOPBACK"])

`python -m tests.support.flink` fetches it ahead of time.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from tfcass.devcluster import ports
from tfcass.devcluster.jars import JarSet, ensure_jars
from tfcass.devcluster.java import find_java

JARS = JarSet(
    "Flink",
    "2.62.0",
    "beam-runners-flink-1.19",
    Path(__file__).with_name("flink_pom.xml"),
    megabytes=150,
)

# Ends the program when its standard input ends, which is when the test run is gone for whatever reason.
_GUARD = (
    "import subprocess, sys; program = subprocess.Popen(sys.argv[1:]); sys.stdin.read(); program.kill(); program.wait()"
)
_OPENS = ("java.util", "java.lang", "java.nio", "java.time")
_START_S = 300.0


@contextmanager
def flink() -> Iterator[str]:
    """Starts it with free ports; gives the job server's "host:port"."""
    java, jars = find_java(), ensure_jars(jars=JARS)
    job, artifacts = ports.free_port(["127.0.0.1"]), ports.free_port(["127.0.0.1"])
    command = [str(java.path), "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    command += [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENS]
    command += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    command += ["-cp", f"{jars}/*", "org.apache.beam.runners.flink.FlinkJobServerDriver", "--flink-master=[local]"]
    command += ["--job-host=127.0.0.1", f"--job-port={job}", f"--artifact-port={artifacts}", "--expansion-port=0"]
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as log:
        guard = subprocess.Popen(
            [sys.executable, "-c", _GUARD, *command, f"--artifacts-dir={scratch}"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=scratch,
        )
        try:
            _wait_until_ready(f"127.0.0.1:{job}", guard, log)
            yield f"127.0.0.1:{job}"
        finally:
            guard.stdin.close()
            guard.wait(60)


def _wait_until_ready(endpoint: str, guard: subprocess.Popen, log: Any) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with grpc.insecure_channel(endpoint) as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=1)
                return
            except grpc.FutureTimeoutError:
                pass
        if time.monotonic() > deadline or guard.poll() is not None:
            log.seek(0)
            raise AssertionError(f"Flink does not start: {log.read().decode(errors='replace')[-2000:]}")


if __name__ == "__main__":
    print(ensure_jars(lambda message: print(message, file=sys.stderr), JARS))
