"""What the tables hold of a slide already. Decides what a run may skip, and counts what it left behind."""

import dataclasses
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from cassandra import InvalidRequest
from cassandra.concurrent import execute_concurrent_with_args

from beam_pipelines.retries import patiently
from beam_pipelines.slides.errors import SlideError
from beam_pipelines.slides.tiles import PatchLocation, SlideRef
from beam_pipelines.statements import prepare
from beam_pipelines.tiling_run import TilingRun
from beam_pipelines.token_ranges import read_pages
from tfcass.schema import describe_table

_PAGE_ROWS = 5000
_IDS_PER_READ = 50  # One reply of some kB. Some clusters allow no IN over many partitions: then one id a read.
_CONCURRENT_READS = 64
_SIGNATURES = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"II*\0": "tiff", b"MM\0*": "tiff"}

# (label, x_l0, y_l0) -> patch_id: the metadata rows of one slide.
StoredRows = dict[tuple[int, int, int], uuid.UUID]


class StoredOtherwise(SlideError):
    """A slide's patches are stored in another encoding than the run's."""


@dataclasses.dataclass(frozen=True)
class Unstored:
    """A plan less what is stored.

    Attributes:
      locations: Patches still to be written, in planned order.
      skipped: Planned patches that both tables hold.
      stale: Metadata rows of the slide that the plan does not have: left by other annotations or other settings.
    """

    locations: tuple[PatchLocation, ...]
    skipped: int
    stale: int


class StoredPatches:
    """Looks at both tables. Borrows the session; may be shared by threads.

    Args:
      session: A cassandra-driver Session.
      run: Cluster, table names, encoding and classes.
    Raises:
      tfcass.SchemaError: A table is absent or has other columns.
    """

    def __init__(self, session: Any, run: TilingRun) -> None:
        self._session = session
        self._encoding = run.encoding
        self._patience_s = run.write.fail_after_s
        self._labels = tuple(run.class_labels.values())
        self._data_name = run.data_name
        metadata, data = (describe_table(run.cluster, name).cql_name for name in (run.metadata_name, run.data_name))
        # As safe as the writes: what LOCAL_QUORUM wrote, LOCAL_QUORUM sees.
        consistency = run.write.consistency
        consistency = "LOCAL_QUORUM" if consistency == "EACH_QUORUM" else consistency  # The former is for writes only.
        self._rows = prepare(
            session,
            f"SELECT x, y, patch_id FROM {metadata} WHERE patient_id = ? AND slide_num = ? AND label = ?",
            consistency=consistency,
        )
        self._id = prepare(session, f"SELECT patch_id FROM {data} WHERE patch_id = ?", consistency=consistency)
        self._ids = prepare(session, f"SELECT patch_id FROM {data} WHERE patch_id IN ?", consistency=consistency)
        self._data = prepare(session, f"SELECT data FROM {data} WHERE patch_id = ?", consistency=consistency)

    def rows(self, ref: SlideRef) -> StoredRows:
        """The metadata rows of a slide."""
        found: StoredRows = {}
        for label in self._labels:
            statement = self._rows.bind((ref.patient_id, ref.slide_num, label))
            statement.fetch_size = _PAGE_ROWS
            for page in read_pages(self._session, statement):
                found.update(((label, x, y), patch_id) for x, y, patch_id in page)
        return found

    def unstored(self, ref: SlideRef, locations: Sequence[PatchLocation], *, check_encoding: bool = True) -> Unstored:
        """Leaves out of a plan what both tables hold.

        Raises:
          StoredOtherwise: The stored patches have another encoding than the run's.
        """
        rows = self.rows(ref)
        planned = {(location.label, location.x_l0, location.y_l0): location for location in locations}
        stale = sum(
            1 for place, patch_id in rows.items() if place not in planned or planned[place].patch_id != patch_id
        )
        known = [location.patch_id for place, location in planned.items() if rows.get(place) == location.patch_id]
        # The data table is asked too: it may be another one than last time, or have lost rows.
        stored = self.with_data(known)
        if check_encoding:
            self._check_encoding(ref, stored)
        left = tuple(location for location in locations if location.patch_id not in stored)
        return Unstored(left, len(locations) - len(left), stale)

    def with_data(self, ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        """Those ids that the data table has."""
        ids = list(ids)
        groups = [(ids[first : first + _IDS_PER_READ],) for first in range(0, len(ids), _IDS_PER_READ)]
        try:
            return self._found(self._ids, groups)
        except InvalidRequest:  # A guardrail against large INs.
            return self._found(self._id, [(patch_id,) for patch_id in ids])

    def data_of(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, bytes]:
        """The encoded patches of those ids that the data table has."""
        ids = list(ids)
        arguments = [(patch_id,) for patch_id in ids]
        rows = [reply.one() for reply in self._replies(self._data, arguments)]
        return {patch_id: bytes(row[0]) for patch_id, row in zip(ids, rows, strict=True) if row and row[0]}

    def _found(self, statement: Any, arguments: list[tuple[Any, ...]]) -> set[uuid.UUID]:
        return {row[0] for rows in self._replies(statement, arguments) for row in rows}

    def _replies(self, statement: Any, arguments: list[tuple[Any, ...]]) -> list[Any]:
        """In the order of the arguments."""

        def ask() -> list[Any]:
            told = execute_concurrent_with_args(self._session, statement, arguments, concurrency=_CONCURRENT_READS)
            return [reply for _, reply in told]

        return patiently(ask, for_s=self._patience_s)

    def _check_encoding(self, ref: SlideRef, stored: set[uuid.UUID]) -> None:
        if not stored:
            return
        head = self.data_of([min(stored)]).get(min(stored), b"")[:4]
        found = next((name for signature, name in _SIGNATURES.items() if head.startswith(signature)), None)
        if found is not None and found != self._encoding:
            raise StoredOtherwise(
                ref.path,
                f"its patches are stored as {found} in {self._data_name}, and {self._encoding} was asked; "
                f"give each encoding a --data-table of its own, or pass --overwrite",
            )
