"""`tfcass ingest`: slides and images into Cassandra, for whoever never heard of Beam.

Each command passes its flags on to a module of `beam_pipelines`, whose own --help it shows; the same module may be run
by `python -m`. A setting may also stand in a YAML file: --config.
"""

import importlib
import sys
from collections.abc import Sequence

import typer

_AS_GIVEN = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

# Command -> (module of beam_pipelines, what it does).
COMMANDS = {
    "slides": ("tile_slides", "Cut whole slides into patches, by annotations or class, and store them."),
    "images": ("ingest_images", "Store pictures: a folder per class, or a CSV of paths and labels."),
    "masks": ("make_masks", "Draw the masks of annotated slides, and nothing else."),
    "stain": ("normalise_stain", "Write stored patches once more, in one staining."),
    "relabel": ("relabel", "Label stored patches by another rule; reads no pixels."),
    "export": ("export", "Write stored rows to files or TFRecords."),
    "verify": ("verify", "Read everything back, decode it, and compare counts and hashes."),
}

app = typer.Typer(
    no_args_is_help=True,
    help="Slides and images into Cassandra. Begin with `tfcass ingest slides --slides 'dir/*.svs' --output out "
    "--dry-run`. `tfcass ingest COMMAND --help` shows all of a command's flags.",
)


def _run(module: str, arguments: Sequence[str]) -> None:
    """Runs a pipeline's command line; its exit code becomes ours."""
    try:
        command = importlib.import_module(f"beam_pipelines.{module}")
    except ModuleNotFoundError as error:
        from tfcass._extras import missing_extra

        told = missing_extra(error, wanted_by="this command")
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        raise typer.Exit(1) from None
    code = command.main(list(arguments))
    if code:
        raise typer.Exit(code)


def _add(name: str, module: str, what: str) -> None:
    @app.command(name, help=what, context_settings=_AS_GIVEN, add_help_option=False)
    def command(ctx: typer.Context) -> None:
        _run(module, ctx.args)


for _name, (_module, _what) in COMMANDS.items():
    _add(_name, _module, _what)
