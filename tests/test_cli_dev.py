"""`tfcass dev`: status, tools and logs of running clusters. Starting and stopping: test_devcluster.py."""

import json
import re

from tests.support.command import program, run
from tfcass.cli.dev import _snippet


def test_dev_status_of_a_running_cluster(dev_cluster):
    plain = run("dev", "status", TFCASS_HOME=str(dev_cluster.home))
    as_json = run("dev", "status", "--json", TFCASS_HOME=str(dev_cluster.home))

    (node,) = dev_cluster.status()
    assert plain.exit_code == as_json.exit_code == 0
    assert f"127.0.0.1:{dev_cluster.connect().port}  up  pid {node.pid}" in plain.stdout
    assert json.loads(as_json.stdout)["nodes"][0]["pid"] == node.pid


def test_dev_status_without_a_cluster_says_how_to_start_one(tmp_path):
    result = run("dev", "status", TFCASS_HOME=str(tmp_path))

    assert result.exit_code == 1
    assert "start one with: tfcass dev up" in result.stdout


def test_dev_nodetool_passes_arguments_and_exit_status_on(dev_cluster):
    good = program("dev", "nodetool", "status", home=dev_cluster.home)
    bad = program("dev", "nodetool", "no-such-command", home=dev_cluster.home)

    assert good.returncode == 0
    assert re.search(r"^UN +127\.0\.0\.1 ", good.stdout, re.MULTILINE)
    assert bad.returncode != 0


def test_dev_cqlsh_is_logged_in(secure_cassandra):
    done = program(
        "dev", "cqlsh", "-e", "SELECT role FROM system_auth.roles WHERE role = 'tfcass'", home=secure_cassandra.home
    )

    assert done.returncode == 0, done.stderr
    assert "(1 rows)" in done.stdout
    assert secure_cassandra.password not in done.stdout + done.stderr


def test_dev_logs_prints_the_last_lines(dev_cluster):
    result = run("dev", "logs", "-n", "3", TFCASS_HOME=str(dev_cluster.home))

    assert result.exit_code == 0
    assert result.stdout.count("\n") == 3
    assert result.stdout in dev_cluster.status()[0].log.read_text()


def test_dev_logs_of_a_node_that_is_not_there(dev_cluster):
    result = run("dev", "logs", "--node", "2", TFCASS_HOME=str(dev_cluster.home))

    assert result.exit_code == 1
    assert "node 2 is not in the cluster" in result.stderr


def test_dev_down_of_nothing_is_done(tmp_path):
    result = run("dev", "down", TFCASS_HOME=str(tmp_path / "none"))

    assert (result.exit_code, result.stdout) == (0, "was not running\n")


def test_dev_up_that_is_up_prints_python_that_connects(dev_cluster, secure_cassandra):
    plain = run("dev", "up", "--port", "0", "--heap", "512m", TFCASS_HOME=str(dev_cluster.home))

    assert plain.exit_code == 0
    assert plain.stdout.startswith(f"Cassandra was up already: 127.0.0.1:{dev_cluster.connect().port}\n")
    for cluster in (dev_cluster.connect(), secure_cassandra.cluster):
        names: dict = {}
        exec("\n".join(line.strip() for line in _snippet(cluster).splitlines()), names)
        assert names["cluster"] == cluster
