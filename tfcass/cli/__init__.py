"""The command `tfcass`. One file per group of commands. What these need is imported when they run: --help is quick.

dev.py         a development cluster                  connection.py   the options that say which cluster
schema.py      keyspace and tables                    progress.py     what is being done, on stderr
demo.py        the demo                               doctor.py       is this machine fit? checks.py finds out
split.py       splits of a table or of Parquet        inspect.py      what saved splits hold
"""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import tfcass
from tfcass.cli import demo, dev, doctor, inspect, schema, split
from tfcass.errors import TfcassError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it.


class _Commands(TyperGroup):
    """Tells what a user can mend on stderr, exit status 1. Anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if ctx.params.get("debug"):
                raise
            print("interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        except (TfcassError, ModuleNotFoundError) as error:
            told = _to_tell(error)
            if told is None or ctx.params.get("debug"):
                raise
            print(f"error: {told}", file=sys.stderr)
            raise typer.Exit(1) from None


def _to_tell(error: TfcassError | ModuleNotFoundError) -> TfcassError | None:
    """The error that a user can mend; None for a missing module that no extra brings."""
    if isinstance(error, TfcassError):
        return error
    from tfcass._extras import missing_extra

    return missing_extra(error, wanted_by="this command")


app = typer.Typer(
    name="tfcass",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Training data in Apache Cassandra for TensorFlow.",
)
app.add_typer(dev.app, name="dev")
app.add_typer(schema.app, name="schema")
app.add_typer(demo.app, name="demo")
app.command("doctor")(doctor.doctor)
app.command("split")(split.split)
app.command("inspect")(inspect.inspect)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"tfcass {tfcass.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command. Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    app(prog_name="tfcass")
