"""`tfcass demo`: the whole way on this machine, from slides to a report."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import attrs
import typer

from tfcass.demo.settings import QUICK, DemoSettings

if TYPE_CHECKING:
    from tfcass.demo.slides import SlideInfo

app = typer.Typer(
    no_args_is_help=True,
    help="The whole way on this machine: slides, patches in a Cassandra of its own, splits, training, a report.",
)


def _default(field: str) -> str:
    """The end of an option's help: what a setting is if it is not given."""
    quick = f", with --quick {QUICK[field]}" if field in QUICK else ""
    return f" (default: {getattr(attrs.fields(DemoSettings), field).default}{quick})."


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not whole numbers with commas between them, as in 2,1") from None


_Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same slides, splits and shuffles.")]


@app.command()
def slides(
    out: Annotated[Path, typer.Option(help="Folder for slides, annotations and slides.csv.")] = Path("out/demo/slides"),
    patients: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 8,
    slides_per_patient: Annotated[
        str, typer.Option(metavar="N,...", help="Slides of the first, second, ... patient, taken in turn.")
    ] = "2,1",
    size: Annotated[int, typer.Option(metavar="PX", help="Side of each slide in pixels.")] = 10_240,
    seed: _Seed = 0,
    processes: Annotated[int, typer.Option(min=1, help="Slides composed at once.")] = 2,
) -> None:
    """Compose whole slides from pictures of real tissue, with annotations. Finished ones of the same settings stay."""
    per_patient = _numbers(slides_per_patient)
    from tfcass.demo.console import slide_progress
    from tfcass.demo.slides import compose_slides

    with slide_progress() as show:
        made = compose_slides(
            out,
            patients=patients,
            slides_per_patient=per_patient,
            size=size,
            seed=seed,
            processes=processes,
            progress=show,
        )
    print(_slides_line(made, out))


def _slides_line(made: "list[SlideInfo]", out: Path) -> str:
    patients = len({slide.patient_id for slide in made})
    kept = sum(slide.reused for slide in made)
    note = f" ({kept} of them were there)" if kept else ""
    return f"{len(made)} slides of {patients} patients{note} in {out}: slides/, annotations/, slides.csv"


@app.command()
def run(
    out: Annotated[Path, typer.Option(help="Folder for everything.")] = Path("out"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and smaller slides, a shorter training.")] = False,
    nodes: Annotated[int | None, typer.Option(min=1, max=3, help="Cassandra nodes" + _default("nodes"))] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training split" + _default("epochs"))
    ] = None,
    patients: Annotated[int | None, typer.Option(min=4, help="Patients" + _default("patients"))] = None,
    size: Annotated[int | None, typer.Option(metavar="PX", help="Side of a slide" + _default("size_px"))] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of slides, splits and training" + _default("seed"))] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave Cassandra running at the end.")] = False,
) -> None:
    """Run the whole demo and write OUT/report.html. What an earlier run finished is skipped."""
    from rich.console import Console

    from tfcass.demo.run import run_demo, summary

    given = {"nodes": nodes, "epochs": epochs, "patients": patients, "size_px": size, "seed": seed}
    changes = {name: value for name, value in given.items() if value is not None}
    make = DemoSettings.quick if quick else DemoSettings
    settings: DemoSettings = make(out=out.absolute(), keep=keep, **changes)
    try:
        done = run_demo(settings, Console(stderr=True))
    except KeyboardInterrupt:
        print("the same command again goes on where this one stopped", file=sys.stderr)
        raise
    print(summary(done, settings))
