"""What the launcher asks of the database before and after a run: what is finished, and what is stored."""

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from beam_pipelines import files
from beam_pipelines.output_files import planned_files
from beam_pipelines.slide_list import SlideTask
from beam_pipelines.slide_rows import Finished, SlideRows, outcome_fields, plan_of
from beam_pipelines.stored import StoredPatches, StoredRows
from beam_pipelines.summary import Summary
from beam_pipelines.tiling_run import TilingRun
from tfcass import schema

_THREADS = 4  # Slides looked at together: each waits for the network most of the time.


class SlideStore:
    """The tables of a run, from the launcher's side; use `opened`.

    Attributes:
      patches: Reads rows and encoded patches.
    """

    def __init__(self, run: TilingRun, rows: SlideRows, patches: StoredPatches) -> None:
        self._run = run
        self._rows = rows
        self.patches = patches
        self._untouched: dict[str, StoredRows] = {}

    @classmethod
    @contextlib.contextmanager
    def opened(cls, run: TilingRun) -> Iterator["SlideStore"]:
        """Makes the tables where they are absent, and connects.

        Raises:
          tfcass.ClusterError, tfcass.SchemaError: The cluster cannot be reached, or its tables do not fit.
        """
        schema.create_tables(
            run.cluster,
            run.keyspace,
            metadata_table=run.metadata_table,
            data_table=run.data_table,
            slides_table=run.slides_table,
            label_type="blob" if run.label_masks else "int",
            more_columns=run.label_columns,
        )
        with run.cluster.session() as session:
            yield cls(run, SlideRows(session, run), StoredPatches(session, run))

    def finished(self, tasks: Sequence[SlideTask]) -> dict[str, Mapping[str, Any]]:
        """Slide -> the record of its plan, for slides that need no second look: what they left is in the output folder,
        too."""

        def look(task: SlideTask) -> Finished | None:
            there = all(files.exists(path) for path in planned_files(self._run, task.name))
            return self._rows.finished(task, self.patches) if there else None

        with ThreadPoolExecutor(_THREADS) as pool:
            found = dict(zip(tasks, pool.map(look, tasks), strict=True))
        plans = {}
        for task, row in found.items():
            if row is not None:
                self._untouched[task.name] = row.stored
                plans[task.name] = plan_of(row)
        return plans

    def ids(self, tasks: Sequence[SlideTask]) -> dict[str, list[uuid.UUID]]:
        """Reads back which rows each slide has: the database's word, not the writer's. One id may be in two rows, under
        labels of different times."""
        return {task.name: list(self.rows(task).values()) for task in tasks}

    def rows(self, task: SlideTask) -> StoredRows:
        """The metadata rows of a slide."""
        return self._untouched.get(task.name) or self.patches.rows(task.ref)

    def finish(self, tasks: Sequence[SlideTask], summary: Summary, ids: Mapping[str, list[uuid.UUID]]) -> None:
        """Writes what became of each slide to the table of slides."""
        outcomes = {outcome.slide: outcome for outcome in summary.slides}
        for task in tasks:
            outcome = outcomes[task.name]
            if not outcome.untouched:
                self._rows.finish(task, outcome_fields(outcome), ids[task.name] if outcome.complete else None)
