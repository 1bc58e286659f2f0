"""The command `tfcass`: exit statuses, errors, the options that name a cluster, schema."""

import re
import subprocess
import sys

import pytest

import tfcass
from tests.support.command import program, run
from tfcass.cli.connection import chosen_cluster

LISTENS_NOT = "1"  # A port on which no Cassandra listens.


def test_version():
    result = run("--version")

    assert (result.exit_code, result.stdout) == (0, f"tfcass {tfcass.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["dev", "nonsense"],
        ["dev", "up", "--nodes", "4"],
        ["dev", "up", "--port", "x"],
        ["schema", "create"],
    ],
)
def test_wrong_usage_exits_with_2(arguments):
    result = run(*arguments)

    assert result.exit_code == 2
    assert result.stdout == "" and "Usage:" in result.stderr


def test_the_program_shows_an_error_as_one_line_on_stderr(tmp_path):
    done = program("dev", "cqlsh", home=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: no development cluster runs in {tmp_path}; start one with `tfcass dev up`\n"


def test_debug_shows_the_traceback(tmp_path):
    done = program("--debug", "dev", "cqlsh", home=tmp_path)

    assert done.returncode == 1
    assert "Traceback" in done.stderr and "DevClusterError" in done.stderr


def test_help_needs_no_heavy_import():
    code = "import sys, tfcass.cli\ntry: tfcass.cli.app(['--help'])\nfinally: print(sorted(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    heavy = {"tensorflow", "apache_beam", "cassandra", "pyarrow", "horovod", "psutil", "cryptography"}
    assert not heavy & set(re.findall(r"'(\w+)'", done.stdout.splitlines()[-1]))


def test_ctrl_c_exits_with_130(monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("tfcass.schema.check", interrupted)

    result = run("schema", "check", "ks")

    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_an_absent_package_is_named_with_the_command_that_installs_it(monkeypatch):
    def absent(*arguments, **options):
        raise ModuleNotFoundError("No module named 'cassandra'", name="cassandra")

    monkeypatch.setattr("tfcass.schema.check", absent)

    result = run("schema", "check", "ks")

    assert result.exit_code == 1
    assert "pip install 'tfcass[driver]'" in result.stderr


def test_a_bug_keeps_its_traceback(monkeypatch):
    def bug(*arguments, **options):
        raise ZeroDivisionError

    monkeypatch.setattr("tfcass.schema.check", bug)

    assert isinstance(run("schema", "check", "ks").exception, ZeroDivisionError)


def test_a_cluster_that_does_not_answer_is_named():
    result = run("schema", "check", "ks", "--host", "127.0.0.1", "--port", LISTENS_NOT)

    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr


def test_the_options_name_a_cluster(secure_cassandra):
    cluster = chosen_cluster(
        host=["10.0.0.1", "10.0.0.2"],
        port=9999,
        local_dc="east",
        user="reader",
        password_env="PW",
        tls_ca=secure_cassandra.ca,
    )

    assert cluster == tfcass.Cluster(
        ["10.0.0.1", "10.0.0.2"],
        port=9999,
        local_dc="east",
        auth=tfcass.PasswordAuth("reader", password_env="PW"),
        tls=tfcass.Tls(ca=secure_cassandra.ca),
    )


def test_without_options_it_is_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("TFCASS_HOME", str(tmp_path / "none"))

    assert chosen_cluster() == tfcass.Cluster(["127.0.0.1"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--user", "u"], "--user needs one of --password-env and --password-file"),
        (["--user", "u", "--password-env", "A", "--password-file", "b"], "--user needs one of"),
        (["--password-env", "A"], "a password needs --user"),
    ],
)
def test_a_password_without_a_user_or_the_other_way_round_is_wrong_usage(options, said):
    result = run("schema", "check", "ks", *options, COLUMNS="200")

    assert result.exit_code == 2
    assert said in result.stderr


def at(cluster: tfcass.Cluster) -> list[str]:
    return ["--host", cluster.contact_points[0], "--port", str(cluster.port)]


def test_schema_create_makes_what_check_wants(cassandra, keyspace):
    before = run("schema", "check", keyspace, *at(cassandra))
    made = run("schema", "create", keyspace, *at(cassandra))
    again = run("schema", "create", keyspace, *at(cassandra))
    after = run("schema", "check", keyspace, *at(cassandra))

    assert before.exit_code == 1 and f"{keyspace}.data_by_uuid" in before.stderr
    assert (made.exit_code, again.exit_code, after.exit_code) == (0, 0, 0)
    assert made.stdout == again.stdout == f"{keyspace} has metadata_by_nat and data_by_uuid\n"


@pytest.mark.parametrize("text", ["dc1", "dc1=", "=3", "dc1=0", "dc1=many"])
def test_copies_that_are_no_number_for_a_datacenter_are_wrong_usage(text):
    result = run("schema", "create", "ks", "--replicas", text, COLUMNS="200")

    assert result.exit_code == 2
    assert f"--replicas {text!r} is not DC=COPIES" in result.stderr


def test_login_and_tls_by_options(secure_cassandra):
    options = ["--user", secure_cassandra.username, "--password-env", "SECRET", "--tls-ca", secure_cassandra.ca]

    right = run(
        "schema", "create", "by_options", *at(secure_cassandra.cluster), *options, SECRET=secure_cassandra.password
    )
    wrong = run("schema", "create", "by_options", *at(secure_cassandra.cluster), *options, SECRET="not it")

    assert right.exit_code == 0
    assert wrong.exit_code == 1 and "refused user 'tfcass'" in wrong.stderr and "not it" not in wrong.stderr


def test_the_running_development_cluster_is_the_default(dev_cluster, monkeypatch):
    monkeypatch.setenv("TFCASS_HOME", str(dev_cluster.home))

    assert chosen_cluster() == dev_cluster.connect()
