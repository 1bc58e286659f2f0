"""tfcass.scripts: what a user reads when a script fails, and what it returns to the shell."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

import tfcass
from tfcass import scripts


def run(error: BaseException, **flags: object) -> int:
    def main(args: argparse.Namespace) -> None:
        raise error

    return scripts.run(main, argparse.Namespace(**flags))


def test_a_script_that_ends_well_gives_zero() -> None:
    done = []

    assert scripts.run(done.append, argparse.Namespace(epochs=3)) == 0
    assert done[0].epochs == 3


def test_a_mistake_is_one_line(capsys) -> None:
    assert run(tfcass.OptionError("batch=0 is not positive")) == 1
    assert capsys.readouterr().err == "error: batch=0 is not positive\n"


def test_an_error_of_a_pipeline_is_its_own_words(capsys) -> None:
    import tensorflow as tf

    error = tf.errors.NotFoundError(None, None, "{{function_node __wrapped__X}} no row 1-2-3 in ks.t [Op:X]")

    assert run(error) == 1
    assert capsys.readouterr().err == "error: no row 1-2-3 in ks.t\n"


def test_ctrl_c_is_the_shells_130(capsys) -> None:
    assert run(KeyboardInterrupt()) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_a_full_disk_names_the_folder_and_a_bug_keeps_its_traceback(capsys) -> None:
    assert run(OSError(28, "No space left on device"), out=Path("out/x")) == 1
    assert "error: cannot write into out/x: " in capsys.readouterr().err
    with pytest.raises(OSError):
        run(OSError(28, "No space left on device"))
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError())


def test_flags_become_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    scripts.add_cluster_flags(parser)
    flags = ["--contact-points", "10.0.0.1,10.0.0.2", "--port", "9999", "--local-dc", "dc2", "--username", "reader"]

    cluster = scripts.cluster_of(parser.parse_args(flags))

    assert cluster == tfcass.Cluster(
        ["10.0.0.1", "10.0.0.2"],
        port=9999,
        local_dc="dc2",
        auth=tfcass.PasswordAuth("reader", password_env="CASS_PW"),
    )
    assert scripts.cluster_of(parser.parse_args([])) == tfcass.Cluster(["127.0.0.1"])


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    for write in (
        lambda: scripts.write_json(tmp_path / "file" / "a.json", {}),
        lambda: scripts.make_folder(tmp_path / "file" / "folder"),
    ):
        with pytest.raises(tfcass.TfcassError, match="cannot (write|make folder) '.*file/"):
            write()


@pytest.mark.parametrize(
    "example", sorted((Path(__file__).parents[1] / "examples").glob("*_*.py")), ids=lambda p: p.stem
)
def test_help_is_there_without_tensorflow(example: Path) -> None:
    code = (
        "import runpy, sys; sys.modules['tensorflow'] = None\n"
        f"sys.path.insert(0, {str(example.parent)!r}); sys.argv = [{str(example)!r}, '--help']\n"
        f"runpy.run_path({str(example)!r}, run_name='__main__')"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert "--keyspace" in done.stdout or "flags are those of" in done.stdout
