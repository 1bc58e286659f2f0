"""Where a run leaves what in its output folder."""

from beam_pipelines import files
from beam_pipelines.slides.annotations import slide_key
from beam_pipelines.tiling_run import TilingRun


def progress_file(output: str) -> str:
    return files.join(output, ".progress")


def ledger_path(output: str, slide: str) -> str:
    return files.join(output, "ledger", f"{slide_key(slide)}.parquet")


def thumbnail_path(output: str, slide: str) -> str:
    """The picture of a slide that planning leaves for the report."""
    return files.join(output, "pictures", f"{slide_key(slide)}.jpg")


def mask_path(output: str, slide: str, name: str) -> str:
    """The mask of a class, or of "tissue"."""
    return files.join(output, "masks", f"{slide_key(slide)}_{name}.png")


def planned_files(run: TilingRun, slide: str) -> list[str]:
    """All that planning writes of a slide."""
    masks = [mask_path(run.output, slide, name) for name in (*run.class_labels, "tissue")]
    return [*masks, thumbnail_path(run.output, slide), ledger_path(run.output, slide)]
