"""What README.md says of flags, defaults and examples is what the code has."""

import re
import shlex
from pathlib import Path

import pytest
import typer

import tfcass
from beam_pipelines.options import parse_flags
from tfcass.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_training_script_is_the_quickstart() -> None:
    (script,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "model.fit" in block]

    assert script.strip() in (ROOT / "examples" / "quickstart.py").read_text()


def test_the_tiling_command_is_accepted() -> None:
    (command,) = re.findall(r"python -m beam_pipelines\.tile_slides ((?:.*\\\n)*.*)\n", README)

    run, _ = parse_flags(shlex.split(command.replace("\\\n", " ")), prog="tile_slides")

    assert (run.keyspace, run.tiling.min_tissue, run.tiling.patch_level, run.encoding) == ("patches", 0.30, 1, "jpeg")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"tfcass ((?:dev|schema|demo) [a-z]+)", README))) + ["doctor"])
def test_the_commands_are_commands_of_tfcass(path: str) -> None:
    command = typer.main.get_command(app)
    for name in path.split():
        assert name in command.commands
        command = command.commands[name]


def test_the_table_of_options_tells_their_defaults() -> None:
    rows = re.findall(r"(?m)^\| (.*?) \| `FetchOptions` \| (.*?) \|", README)

    told = {
        name.strip(" `"): default.strip(" `")
        for names, defaults in rows
        for name, default in zip(names.split(","), defaults.split(","), strict=True)
    }
    options = tfcass.FetchOptions()
    real = {name: getattr(options, name) for name in told}
    written = {True: "True", None: "None", tfcass.AUTOTUNE: "AUTOTUNE"}
    assert told == {
        name: f'"{value}"' if isinstance(value, str) else written.get(value) or f"{value:g}"
        for name, value in real.items()
    }
    assert len(told) >= 5
