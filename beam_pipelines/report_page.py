"""report.html of a tiling run: what became of each slide, in numbers and in pictures.

A slide's pictures: its thumbnail; the masks of tissue and classes; the grid, each place in the colour of what became of
it; and the patches themselves, decoded from what the database returned and put back in their places. So a patch under
another label, from another place, or of damaged bytes is seen before anybody trains on it.
"""

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from beam_pipelines import files
from beam_pipelines.drawing import overlays, palette
from beam_pipelines.drawing.page import environment, style_sheet
from beam_pipelines.drawing.pictures import patch_uri, photo_uri
from beam_pipelines.ledger import read_ledger
from beam_pipelines.output_files import mask_path, thumbnail_path
from beam_pipelines.slide_rows import options_json, versions_json
from beam_pipelines.slide_store import SlideStore
from beam_pipelines.slides.encode import decode
from beam_pipelines.stored import StoredRows
from beam_pipelines.summary import SlideOutcome, Summary
from beam_pipelines.tiling_run import TilingRun
from tfcass.errors import TfcassError

_SLIDES_SHOWN = 40  # Some 300 kB each: the page stays below 20 MB. The others are in the table.
_PATCHES_SHOWN = 12  # Of each slide, on the contact sheet.
_MOSAIC_PATCHES = 600  # Of each slide: 12 MB read at the usual 20 kB.
_FAILURES_SHOWN = 50


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure: its title and data URI."""

    title: str
    uri: str


@dataclasses.dataclass(frozen=True)
class ShownPatch:
    """A patch of the contact sheet, as the database returned it."""

    uri: str
    label: str
    colour: str
    x_l0: int
    y_l0: int


@dataclasses.dataclass(frozen=True)
class ShownSlide:
    """What the page shows of a slide."""

    outcome: SlideOutcome
    pictures: Sequence[Picture]
    patches: Sequence[ShownPatch]
    remarks: Sequence[str]


def render(summary: Summary, run: TilingRun, store: SlideStore | None) -> str:
    """The page as text.

    Args:
      summary: What happened.
      run: Its settings.
      store: The database; None in a dry run, whose page shows plans only.
    """
    tasks = {task.name: task for task in summary.tasks}
    chosen = [slide for slide in summary.slides if slide.size_l0 is not None][:_SLIDES_SHOWN]
    shown = [_show(slide, run, store, None if store is None else store.rows(tasks[slide.slide])) for slide in chosen]
    reasons = sorted({reason for slide in summary.slides for reason in {**slide.rejected, **slide.low_quality}})
    return (
        environment("beam_pipelines")
        .get_template("tiling_report.html.j2")
        .render(
            css=style_sheet(),
            summary=summary,
            run=run,
            shown=shown,
            hidden=len(summary.slides) - len(shown),
            reasons=reasons,
            legend=_legend(run),
            failures=summary.dead_letters[:_FAILURES_SHOWN],
            more_failures=max(0, len(summary.dead_letters) - _FAILURES_SHOWN),
            statuses=[(status, count) for status, count in summary.by_status().items() if count],
            options=options_json(run),
            versions=versions_json(),
        )
    )


def _show(outcome: SlideOutcome, run: TilingRun, store: SlideStore | None, rows: StoredRows | None) -> ShownSlide:
    remarks = [*outcome.notes]
    try:
        thumbnail = np.asarray(Image.open(io.BytesIO(files.read_bytes(thumbnail_path(run.output, outcome.slide)))))
    except OSError as error:
        return ShownSlide(outcome, [], [], [*remarks, f"its picture cannot be read: {error}"])
    scale = np.array(thumbnail.shape[1::-1]) / np.array(outcome.size_l0)
    side = tuple(np.array(outcome.patch_l0) * scale)
    masks = _masks(outcome, run)
    colours = {name: palette.class_colour(run.class_labels[name]) for name in masks if name in run.class_labels}
    pictures = [
        Picture("The slide", photo_uri(thumbnail, quality=80)),
        Picture(
            "Masks of tissue and classes",
            photo_uri(overlays.draw_masks(thumbnail, masks, {"tissue": palette.TISSUE, **colours}), quality=80),
        ),
    ]
    corners, cell_colours = _grid(outcome, run, rows)
    grid = overlays.draw_grid(thumbnail, corners * scale, side, cell_colours)
    pictures.append(Picture("The grid: what became of each place", photo_uri(grid, quality=80)))
    patches: list[ShownPatch] = []
    if store is not None and rows:
        mosaic, patches, unreadable = _from_database(thumbnail, scale, side, rows, run, store)
        pictures.append(mosaic)
        remarks += unreadable
    return ShownSlide(outcome, pictures, patches, remarks)


def _masks(outcome: SlideOutcome, run: TilingRun) -> dict[str, np.ndarray]:
    """Those that there are, in painter's order."""
    found = {}
    for name in ("tissue", *run.class_labels):
        path = mask_path(run.output, outcome.slide, name)
        if files.exists(path):
            found[name] = np.asarray(Image.open(io.BytesIO(files.read_bytes(path)))) != 0
    return found


def _grid(outcome: SlideOutcome, run: TilingRun, rows: StoredRows | None) -> tuple[np.ndarray, list[str]]:
    """Corners in level-0 pixels, and colours: what was left out, and over it what is stored."""
    left_out = read_ledger(run.output, outcome.slide)
    reasons = left_out["reason"].to_pylist()
    shown = [
        place for place, reason in enumerate(reasons) if reason != "not annotated"
    ]  # The slide itself shows there.
    corners = np.stack([left_out["x"].to_numpy(), left_out["y"].to_numpy()], axis=1)[shown]
    colours = [palette.REJECTED.get(reasons[place], palette.REJECTED_OTHERWISE) for place in shown]
    stored = sorted(rows or ())
    corners = np.concatenate([corners, np.array([(x, y) for _, x, y in stored]).reshape(-1, 2)])
    return corners, [*colours, *(palette.class_colour(label) for label, _, _ in stored)]


def _from_database(
    thumbnail: np.ndarray,
    scale: np.ndarray,
    side: tuple[float, float],
    rows: StoredRows,
    run: TilingRun,
    store: SlideStore,
) -> tuple[Picture, list[ShownPatch], list[str]]:
    """Stored patches in their places, a few of them in full, and what is wrong with the others."""
    places = _spread(sorted(rows), _MOSAIC_PATCHES)
    data = store.patches.data_of(rows[place] for place in places)
    names = {label: name for name, label in run.class_labels.items()}
    pictures, framed, colours, unreadable = [], [], [], 0
    for place in places:
        try:
            pictures.append(_rgb(decode(data[rows[place]])))
        except (KeyError, ValueError):  # Gone since it was counted, or damaged.
            unreadable += 1
            continue
        framed.append(place[1:])
        colours.append(palette.class_colour(place[0]))
    corners = np.array(framed, float).reshape(-1, 2) * scale
    mosaic = overlays.draw_mosaic(thumbnail, corners, side, pictures, colours)
    title = f"{len(pictures):,} of {len(rows):,} stored patches, in their places"
    remarks = [f"{unreadable:,} stored patches are no pictures"] if unreadable else []
    shown = []
    for place in _spread(places, _PATCHES_SHOWN):
        try:
            uri = patch_uri(data[rows[place]])
        except (KeyError, TfcassError):
            continue
        label, x_l0, y_l0 = place
        shown.append(ShownPatch(uri, names.get(label, str(label)), palette.class_colour(label), x_l0, y_l0))
    return Picture(title, photo_uri(mosaic, quality=80)), shown, remarks


def _spread(places: Sequence[Any], most: int) -> list[Any]:
    """At most so many, evenly from first to last: sorted by label and place, so that every class and region is in."""
    if len(places) <= most:
        return list(places)
    return [places[round(i * (len(places) - 1) / (most - 1))] for i in range(most)]


def _rgb(picture: np.ndarray) -> np.ndarray:
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)


def _legend(run: TilingRun) -> list[tuple[str, str]]:
    classes = [(f"stored as {name}", palette.class_colour(label)) for name, label in run.class_labels.items()]
    reasons = [(reason, colour) for reason, colour in palette.REJECTED.items() if reason != "not annotated"]
    return [*classes, *reasons, ("rejected for its pixels", palette.REJECTED_OTHERWISE), ("tissue", palette.TISSUE)]
