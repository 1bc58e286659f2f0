"""Writes the demo's report: `python -m tfcass.demo.report --out out`, while the demo's Cassandra runs.

contents.py    what a report shows
gather.py      rows, slides and the stages' files -> contents         read_back.py   patches through the op
figures.py     plots                                                 page.py        contents -> one HTML file
beam_pipelines.drawing: thumbnails with patches and outlines, colours, what pages share
"""

import argparse
import datetime
import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

import tfcass
from beam_pipelines.slides.tiles import TilingOptions
from tfcass._files import replace_file
from tfcass.demo import gather
from tfcass.demo.contents import Report, StageLine
from tfcass.demo.environment import describe_environment
from tfcass.demo.page import render
from tfcass.demo.read_back import patch_bytes
from tfcass.demo.settings import DATA_TABLE, METADATA_TABLE, Paths
from tfcass.demo.state import Record, State
from tfcass.demo.workplace import read_json
from tfcass.devcluster import DevCluster
from tfcass.errors import TfcassError
from tfcass.splits import Splits
from tfcass.splits.rows import key_array

STAGES = {
    "cassandra": "Cassandra",
    "slides": "Slides",
    "tile": "Tile",
    "split": "Split",
    "train": "Train",
    "predict": "Predict",
}
_PER_CLASS = 12

_PROVENANCE = (
    "No slide was downloaded for this demo. The slides were composed on this machine from two small pictures of real "
    "tissue: an immunohistochemistry picture of colon glands that ships with scikit-image, restained as haematoxylin "
    "and eosin, stands for normal tissue; an H&E picture that ships with StarDist stands for tumour. Their "
    "arrangement, the patients and the outlines are made up, and each patient has a staining of their own. So the way "
    "of the data and the learning are real, but the accuracy says nothing about pathology. The same commands take your "
    "own slides and annotations."
)


def gather_report(out: Path, cluster: tfcass.Cluster, *, seed: int, since: str) -> Report:
    """Collects everything.

    Args:
      out: Folder of a demo run.
      seed: Chooses the patches of the contact sheet.
      since: ISO 8601; stages that finished before are said to be of an earlier run.
    Raises:
      TfcassError: a stage's result is missing.
    """
    paths = Paths(out)
    splits = Splits.load(paths.splits)
    metadata = tfcass.read_rows(METADATA_TABLE, cluster=cluster)
    stored = tfcass.read_rows(DATA_TABLE, cluster=cluster, columns=["patch_id", "label"])
    predictions = pq.read_table(paths.predictions)
    records = _records(State(paths.state))
    tiling = read_json(paths.tiles / "summary.json")
    speed = read_json(paths.speed)
    validation = gather.read_confusion(paths.training / "confusion.json")
    chosen = gather.choose_patches(metadata, _PER_CLASS, seed)
    probabilities = dict(zip(predictions["patch_id"].to_pylist(), predictions["probability"].to_pylist(), strict=True))
    return Report(
        tables=[gather.count_table(METADATA_TABLE, metadata), gather.count_table(DATA_TABLE, stored)],
        splits=gather.count_splits(splits, metadata),
        leaks=gather.count_leaks(splits),
        slides=gather.slide_views(
            (paths.slides / "slides").iterdir(),
            (paths.slides / "annotations").iterdir(),
            metadata,
            splits=splits,
            probabilities=probabilities,
            patch_side_l0=TilingOptions().footprint_l0,
        ),
        patches=gather.patch_pictures(
            chosen, patch_bytes(key_array(chosen, "patch_id"), table=DATA_TABLE, cluster=cluster)
        ),
        history=gather.read_history(paths.training / "history.json", validation),
        confusions=[validation, gather.confusion_of_predictions("test", predictions)],
        read_rows=speed["read_rows"],
        read_rows_per_s=speed["read_rows_per_s"],
        read_mb_per_s=speed["read_mb_per_s"],
        stages=[_stage_line(name, record, since) for name, record in records.items()],
        environment=describe_environment(f"{records['cassandra'].result['version']}, on loopback"),
        settings=_settings(records),
        provenance=_PROVENANCE,
        unreadable_slides=[(slide["slide"], slide["error"]) for slide in tiling["slides"] if slide["error"]],
        finished=datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
    )


def _records(state: State) -> dict[str, Record]:
    records = {name: state.get(name) for name in STAGES}
    if missing := [name for name, record in records.items() if record is None]:
        raise TfcassError(f"the demo has not finished {', '.join(missing)} yet; run `tfcass demo run`")
    return records


def _stage_line(name: str, record: Record, since: str) -> StageLine:
    result = record.result
    return StageLine(
        STAGES[name],
        result["summary"],
        record.seconds,
        rows=result.get("rows"),
        rows_what=result.get("rows_what", ""),
        rows_per_s=result.get("rows_per_s"),
        earlier=record.finished < since,
    )


def _settings(records: Mapping[str, Record]) -> dict[str, str]:
    """All stages' inputs, each once."""
    settings: dict[str, object] = {}
    for record in records.values():
        settings.update(record.inputs)
    return {name.replace("_", " "): _as_text(value) for name, value in settings.items()}


def _as_text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def write_report(report: Report, path: Path) -> None:
    """Renders the report; an older one stays until the new one is whole.

    Raises:
      TfcassError: the file cannot be written.
    """
    html = render(report)
    try:
        replace_file(path, html.encode())
    except OSError as error:
        raise TfcassError(f"cannot write {str(path)!r}: {error.strerror}; make room and run the demo again") from error


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tfcass.demo.report", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the demo run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--since", default="", help="ISO 8601: stages that finished before are of an earlier run")
    arguments = parser.parse_args()
    paths = Paths(arguments.out)
    cluster = DevCluster(paths.cluster).connect()
    print("reading rows and slides", flush=True)
    report = gather_report(arguments.out, cluster, seed=arguments.seed, since=arguments.since)
    print("drawing", flush=True)
    write_report(report, paths.report)


if __name__ == "__main__":
    try:
        main()
    except TfcassError as told:
        sys.exit(f"error: {told}")
