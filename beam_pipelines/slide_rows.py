"""The table of slides: where patches come from, how they were cut, and which slides need no second look.

A row is begun when its slide is planned and finished when the run is over. It is *complete* when every planned patch is
stored or rejected: `recipe` then says what of (file, annotations, options), and `stored_ids` which rows that made. A
rerun compares both: a look at the file's size and time and one read of the slide's ids, while the slide stays closed.
"""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import shapely

from beam_pipelines import files
from beam_pipelines.retries import patiently
from beam_pipelines.slide_list import SlideTask
from beam_pipelines.statements import prepare
from beam_pipelines.stored import StoredPatches, StoredRows
from beam_pipelines.summary import SlideOutcome
from beam_pipelines.tiling_run import TilingRun
from tfcass.schema import SLIDE_COLUMNS, describe_table

BEGUN = "begun"
_RECIPE_VERSION = "1"  # Raise it when the same slide and options begin to give other rows: slides are then done anew.
_PACKAGES = ("tfcass", "apache-beam", "openslide-python", "openslide-bin", "numpy", "scikit-image")


@dataclasses.dataclass(frozen=True)
class Finished:
    """A slide that an earlier run completed, and of which nothing has changed since.

    Attributes:
      fields: The columns of its row.
      stored: Its rows, as they are in the metadata table.
    """

    fields: Mapping[str, Any]
    stored: StoredRows


class SlideRows:
    """Reads and writes the table of slides. Borrows the session; may be shared by threads.

    Args:
      session: A cassandra-driver Session.
      run: Cluster, table names and options.
    """

    def __init__(self, session: Any, run: TilingRun) -> None:
        self._session = session
        self._run = run
        self._name = describe_table(run.cluster, run.slides_name).cql_name
        self._consistency = run.write.consistency
        read = "LOCAL_QUORUM" if self._consistency == "EACH_QUORUM" else self._consistency  # That is for writes only.
        self._row = prepare(
            session,
            f"SELECT {', '.join(SLIDE_COLUMNS)} FROM {self._name} "
            "WHERE patient_id = ? AND slide_num = ? AND metadata_table = ? AND data_table = ?",
            consistency=read,
        )
        self._inserts: dict[tuple[str, ...], Any] = {}

    def begin(self, task: SlideTask, fields: Mapping[str, Any]) -> None:
        """Writes provenance, before the first patch is cut; the row is complete no more."""
        self._write(task, {**fields, "status": BEGUN, "recipe": None, "stored_ids": None, "finished": None})

    def finish(self, task: SlideTask, fields: Mapping[str, Any], ids: Iterable[uuid.UUID] | None) -> None:
        """Writes what became of a slide. `ids`: of its stored rows when it is complete, else None."""
        complete = {
            "recipe": None if ids is None else recipe(task, self._run),
            "stored_ids": None if ids is None else ids_digest(ids),
            "finished": datetime.datetime.now(datetime.timezone.utc),
        }
        self._write(task, {**fields, **complete})

    def finished(self, task: SlideTask, stored: StoredPatches) -> Finished | None:
        """What is known of a slide that needs no second look; None for any other.

        Everything is looked at but the slide's pixels: its file's size and time, its annotations, the options, the ids
        in the metadata table, and whether the data table has each of them.
        """
        key = (task.ref.patient_id, task.ref.slide_num, self._run.metadata_name, self._run.data_name)
        row = self._execute(self._row.bind(key)).one()
        if row is None or row.recipe is None:
            return None
        try:
            same = row.recipe == recipe(task, self._run)
        except OSError:
            return None
        if not same:
            return None
        rows = stored.rows(task.ref)
        ids = set(rows.values())
        if ids_digest(rows.values()) != row.stored_ids or stored.with_data(ids) != ids:
            return None
        return Finished(row._asdict(), rows)

    def _write(self, task: SlideTask, fields: Mapping[str, Any]) -> None:
        row = {
            "patient_id": task.ref.patient_id,
            "slide_num": task.ref.slide_num,
            "slide": task.name,
            "path": task.ref.path,
            "metadata_table": self._run.metadata_name,
            "data_table": self._run.data_name,
            **fields,
        }
        names = tuple(row)
        if names not in self._inserts:
            marks = ", ".join("?" * len(names))
            insert = f"INSERT INTO {self._name} ({', '.join(names)}) VALUES ({marks})"
            self._inserts[names] = prepare(self._session, insert, consistency=self._consistency)
        self._execute(self._inserts[names].bind(tuple(row.values())))

    def _execute(self, statement: Any) -> Any:
        """A cluster that is away for a while costs time and no run."""
        return patiently(lambda: self._session.execute(statement), for_s=self._run.write.fail_after_s)


def outcome_fields(outcome: SlideOutcome) -> dict[str, Any]:
    """What the table says of a slide after a run."""
    return {
        "status": outcome.status,
        "planned": outcome.planned,
        "kept": outcome.kept,
        "low_quality": outcome.dropped,
        "failed": outcome.failed,
        "stored": outcome.stored,
        "rejected": json.dumps({"grid": dict(outcome.rejected), "cut": dict(outcome.low_quality)}),
        "notes": json.dumps([*outcome.notes, *([outcome.error] if outcome.error else [])]),
    }


def plan_of(finished: Finished) -> dict[str, Any]:
    """The record that planning gave, from the row of a slide that needs no second look."""
    fields = finished.fields
    rejected = json.loads(fields["rejected"])
    return {
        "slide": fields["slide"],
        "status": fields["status"],
        "planned": fields["planned"],
        "skipped": fields["kept"],
        "low_quality": rejected["cut"],
        "rejected": rejected["grid"],
        "stale": fields["stored"] - fields["kept"],
        "notes": json.loads(fields["notes"]),
        "size_l0": (fields["width"], fields["height"]),
        "patch_l0": (fields["patch_width"], fields["patch_height"]),
        "mpp": None if fields["mpp_x"] is None else (fields["mpp_x"], fields["mpp_y"]),
        "content_id": fields["content_id"],
        "untouched": True,
    }


def recipe(task: SlideTask, run: TilingRun) -> str:
    """Digest of everything that decides on a slide's rows: its files by size and time, its annotations, the options.

    Raises:
      OSError: The slide's file is gone.
    """
    regions = [(region.label, region.frame, shapely.to_wkb(region.polygon).hex()) for region in task.regions]
    paths = [task.ref.path, *([task.ref.tissue_mask] if task.ref.tissue_mask else [])]
    told = [_RECIPE_VERSION, *map(files.fingerprint, paths), options_json(run), repr(task.ref), repr(regions)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def options_json(run: TilingRun) -> str:
    """How slides are cut and encoded, as text of a fixed order."""
    told = {name: getattr(run, name) for name in ("encoding", "quality", "label_masks", "annotation_frame")}
    told |= {"tiling": dataclasses.asdict(run.tiling), "classes": dataclasses.asdict(run.classes)}
    return json.dumps(told, sort_keys=True, default=str)


def versions_json() -> str:
    """The software of this process."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return json.dumps(found)


def ids_digest(ids: Iterable[uuid.UUID]) -> str:
    """The same for the same ids, in whatever order."""
    return hashlib.sha256(b"".join(sorted(patch_id.bytes for patch_id in ids))).hexdigest()
