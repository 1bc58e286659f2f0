"""Settings by name, and from YAML files: --preset NAME, --config FILE.

What is said on the command line wins over the file, and the file over the preset. Names are those of the flags:

    # tiling.yaml
    slides: [/data/slides/*.mrxs]
    annotations: /data/annotations.csv
    min-tissue: 0.5
    overwrite: true
"""

import argparse
import difflib
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tfcass.errors import OptionError

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # The recipe that the first prostate data set was made by: masks at level 6, a decision for each pixel of
        # level 9, patches of 256 pixels at level 1, 30% tissue.
        "prostate-seed": {
            "mask-level": 6,
            "decision-level": 9,
            "patch-level": 1,
            "patch-size": 256,
            "min-tissue": 0.30,
            "min-annotated": 0.5,
            "class-map": "prostate",
            "encoding": "jpeg",
            "quality": 90,
        },
        # Slides of several scanners, only tumour drawn: one resolution, cleaned tissue, no blurred or inked patches.
        "camelyon": {
            "mpp": 0.5,
            "patch-size": 256,
            "class-map": "camelyon",
            "closing-um": 40,
            "min-hole-um2": 20_000,
            "min-area-um2": 50_000,
            "min-sharpness": 45,
            "max-pen": 0.05,
            "max-white": 0.85,
            "max-black": 0.2,
        },
    }
)


def add_settings_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --config."""
    parser.add_argument("--config", metavar="YAML", help="settings by the names of these flags; the command line wins")


def add_preset_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --preset, for a command whose settings PRESETS has."""
    parser.add_argument("--preset", metavar="NAME", help=f"settings to begin with: {', '.join(PRESETS)}")


def with_settings(arguments: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """The command line with the settings of --preset and --config in front of it, less those that it gives itself.

    Args:
      arguments: As typed.
      parser: What the command takes; Beam's options are known besides.
    Raises:
      OptionError: No such preset; the file cannot be read or is no mapping; a name in it is not a flag (near ones are
        told), or its value cannot be one.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--config", "--preset"):
        if name in parser._option_string_actions:
            finder.add_argument(name)
    finder.set_defaults(config=None, preset=None)
    chosen, rest = finder.parse_known_args(list(arguments))
    if chosen.config is None and chosen.preset is None:
        return list(arguments)
    known = _by_name(parser)
    sources = _sources(chosen)
    if any(str(name).replace("_", "-") not in known for _, values in sources for name in values):
        beam = argparse.ArgumentParser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
        beam_flags(beam)
        known = _by_name(beam) | known
    settings: dict[argparse.Action, tuple[str, Any]] = {}
    for where, values in sources:
        for name, value in values.items():
            action = known.get(str(name).replace("_", "-")) or known.get(str(name))
            if action is None or name in ("config", "preset", "help"):
                raise OptionError(f"{where}: {name!r} is no setting{_near(str(name), _by_name(parser))}")
            settings[action] = (where, value)
    given = {known.get(word.split("=")[0].removeprefix("--")) for word in rest if word.startswith("--")}
    front: list[str] = []
    for action, (where, value) in settings.items():
        if action not in given:
            front += _words(action, value, where)
    return [*front, *rest]


def _by_name(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    flags = parser._option_string_actions.items()
    return {name.removeprefix("--"): action for name, action in flags if name.startswith("--")}


def beam_flags(parser: argparse.ArgumentParser) -> None:
    """Adds what Beam takes."""
    from apache_beam.options.pipeline_options import PipelineOptions

    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)


def _sources(chosen: argparse.Namespace) -> list[tuple[str, Mapping[str, Any]]]:
    """(where, settings), what wins last."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    if chosen.preset is not None:
        if chosen.preset not in PRESETS:
            near = difflib.get_close_matches(chosen.preset, PRESETS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise OptionError(f"preset {chosen.preset!r} is not known (has: {', '.join(PRESETS)}){hint}")
        found.append((f"preset {chosen.preset!r}", PRESETS[chosen.preset]))
    if chosen.config is not None:
        found.append((f"config file {chosen.config!r}", read_settings(chosen.config)))
    return found


def read_settings(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Reads a YAML file of settings.

    Raises:
      OptionError: It cannot be read, or is no mapping of names to values.
    """
    import yaml

    where = f"config file {os.fspath(path)!r}"
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except OSError as error:
        raise OptionError(f"{where} cannot be read: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionError(f"{where} is not YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise OptionError(f"{where} is not a mapping of settings, as in `min-tissue: 0.5`")
    return content


def _words(action: argparse.Action, value: Any, where: str) -> list[str]:
    """A setting as it would be typed."""
    name = max(action.option_strings, key=len)
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise OptionError(f"{where}: {name.removeprefix('--')}={value!r} is not true or false")
        return [name] if value else []
    many = isinstance(value, list)
    if many and not isinstance(action, argparse._AppendAction) or isinstance(value, dict) or value is None:
        raise OptionError(f"{where}: {name.removeprefix('--')}={value!r} is not one value")
    # With "=": a value may begin with "-".
    return [f"{name}={item}" for item in (value if many else [value])]


def _near(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name.replace("_", "-"), [*known], n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(found) for found in near)}?" if near else "; see --help"
