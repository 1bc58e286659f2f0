"""Settings of the tiling command: flags, presets, YAML files, and which of them wins."""

import importlib.util
import json
from pathlib import Path

import pytest

from beam_pipelines.options import parse_flags, parser
from beam_pipelines.presets import PRESETS
from beam_pipelines.slides.quality import SUGGESTED_QUALITY
from beam_pipelines.slides.tiles import TilingOptions
from beam_pipelines.slides.tissue import CLEANED_TISSUE
from beam_pipelines.tiling_run import TilingRun
from tests.support.command import run
from tfcass.cli.ingest import COMMANDS
from tfcass.errors import OptionError

ROOT = Path(__file__).resolve().parents[1]
BASE = ("--slides", "a.svs", "--output", "out", "--dry-run")


def settings(*flags: str) -> TilingRun:
    return parse_flags([*BASE, *flags], prog="tile")[0]


def config(folder: Path, text: str) -> str:
    path = folder / "tiling.yaml"
    path.write_text(text)
    return str(path)


def test_the_seeds_recipe_is_a_preset_and_the_default() -> None:
    preset, default = settings("--preset", "prostate-seed"), settings()

    assert preset.tiling == TilingOptions(decision_level=9) and default.tiling == TilingOptions()
    assert (preset.classes, preset.encoding, preset.quality) == (default.classes, "jpeg", 90)


def test_the_camelyon_preset_has_the_values_that_the_modules_suggest() -> None:
    made = settings("--preset", "camelyon")

    assert (made.tiling.mpp, made.tiling.tissue, made.tiling.quality) == (0.5, CLEANED_TISSUE, SUGGESTED_QUALITY)
    assert made.classes.outside == "normal"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_accepted(name: str) -> None:
    assert settings("--preset", name).slides == ("a.svs",)


def test_a_file_wins_over_a_preset_and_flags_over_the_file(tmp_path: Path) -> None:
    path = config(tmp_path, "min-tissue: 0.6\nmin_annotated: 0.7\npatch-size: 512\ndecision-level: 10\n")

    made = settings("--preset", "prostate-seed", "--config", path, "--min-annotated=0.9")

    assert (made.tiling.min_tissue, made.tiling.min_annotated) == (0.6, 0.9)
    assert (made.tiling.patch_size, made.tiling.mask_level) == (512, 6)


def test_a_file_may_give_lists_switches_and_beams_options(tmp_path: Path) -> None:
    path = config(
        tmp_path, "slides: [b.svs, c.svs]\nannotations: -odd.csv\noverwrite: true\njson: false\nparallelism: 4\n"
    )

    made, flags = parse_flags(["--output", "out", "--dry-run", "--config", path], prog="tile")

    assert (made.slides, made.annotations, made.overwrite, flags.json) == (
        ("b.svs", "c.svs"),
        ("-odd.csv",),
        True,
        False,
    )
    assert made.beam_flags == ("--parallelism=4",)
    assert settings("--config", path).slides == ("a.svs",)  # The command line replaces, it does not add.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("min-tisue: 0.5\n", ["'min-tisue' is no setting", "'min-tissue'"]),
        ("zzz: 1\n", ["'zzz' is no setting", "--help"]),
        ("- a\n", ["not a mapping"]),
        ("a: [\n", ["is not YAML"]),
        ("overwrite: maybe\n", ["overwrite='maybe'", "true or false"]),
        ("min-tissue: [1, 2]\n", ["min-tissue=[1, 2]", "not one value"]),
        ("min-tissue: much\n", ["--min-tissue", "much"]),
        ("config: other.yaml\n", ["'config' is no setting"]),
    ],
)
def test_what_a_file_cannot_say_is_one_error(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(OptionError) as raised:
        settings("--config", config(tmp_path, text))

    assert all(word in str(raised.value) for word in words)


def test_an_absent_file_and_an_unknown_preset_are_named() -> None:
    with pytest.raises(OptionError, match="absent.yaml' cannot be read"):
        settings("--config", "absent.yaml")
    with pytest.raises(OptionError, match="did you mean 'prostate-seed'"):
        settings("--preset", "prostate-sed")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--overlap", "256"), "--overlap 256"),
        (("--overlap", "8", "--stride", "8"), "leave one out"),
        (("--mpp", "0.5", "--patch-level", "2"), "leave one out"),
        (("--edge", "wrap"), "edge='wrap'"),
        (("--max-pen", "2"), "max_pen=2.0"),
        (("--slide-cache-gb", "0"), "limit_bytes=0"),
    ],
)
def test_settings_that_cannot_be_are_one_error(flags: tuple[str, ...], words: str) -> None:
    with pytest.raises(OptionError) as raised:
        settings(*flags)

    assert words in str(raised.value)


def test_the_overlap_is_another_word_for_the_stride() -> None:
    assert settings("--overlap", "64").tiling.stride == 192


def test_the_flex_template_offers_flags_that_there_are() -> None:
    template = json.loads((ROOT / "docker" / "beam" / "tile_slides.json").read_text())

    flags = {name.removeprefix("--") for name in parser()._option_string_actions}
    assert {parameter["name"] for parameter in template["parameters"]} <= flags


def test_every_ingest_command_has_its_module() -> None:
    for name, (module, _) in COMMANDS.items():
        assert importlib.util.find_spec(f"beam_pipelines.{module}") is not None, name


@pytest.mark.parametrize("name", COMMANDS)
def test_tfcass_ingest_shows_the_flags_of_the_module(name: str, capsys) -> None:
    result = run("ingest", name, "--help")

    assert result.exit_code == 0
    assert "--config YAML" in " ".join(result.output.split())


def test_tfcass_ingest_passes_flags_on_and_hands_the_exit_code_back(tmp_path: Path) -> None:
    wrong = run("ingest", "slides", "--slides", "absent/*.svs", "--output", str(tmp_path), "--dry-run", "--preset", "x")
    absent = run("ingest", "slides", "--slides", "absent/*.svs", "--output", str(tmp_path), "--dry-run")

    assert (wrong.exit_code, absent.exit_code) == (2, 2)
    assert "preset 'x'" in wrong.output and "absent/*.svs" in absent.output
