"""Too many dead letters fail the pipeline: a count, or a share of the rows."""

from typing import Any

import apache_beam as beam

from tfcass.errors import OptionError, TfcassError


class TooManyFailures(TfcassError, RuntimeError):
    """More rows became dead letters than `max_failed` allows."""


def check_limit(max_failed: Any) -> None:
    """Raises OptionError unless it is None, a count (int, at least 0) or a share (float in [0, 1))."""
    if max_failed is None:
        return
    is_count = isinstance(max_failed, int) and not isinstance(max_failed, bool) and max_failed >= 0
    if not is_count and not (isinstance(max_failed, float) and 0 <= max_failed < 1):
        raise OptionError(
            f"max_failed={max_failed!r} is not None, a number of rows as an integer of at least 0, or a share of them "
            "as a float in [0, 1)"
        )


def check_count(dead: int, max_failed: int | float | None, table: str) -> None:
    """Raises TooManyFailures when a part of the rows alone is above a count."""
    if isinstance(max_failed, int) and dead > max_failed:
        raise TooManyFailures(
            f"{dead:,} rows could not be written to {table}, and max_failed={max_failed} allows no more; the dead "
            "letters tell why"
        )


class FailAbove(beam.PTransform):
    """(written, dead) -> nothing; fails the pipeline once all rows of a window are counted and too many are dead.

    Args:
      max_failed: Not None.
      table: For the message.
    """

    def __init__(self, max_failed: int | float, table: str) -> None:
        super().__init__()
        self._max_failed = max_failed
        self._table = table

    def expand(self, outputs: tuple[beam.PCollection, beam.PCollection]) -> beam.PCollection:
        written, dead = outputs
        counts = (written | "Written" >> beam.Map(lambda _: (1, 0)), dead | "Dead" >> beam.Map(lambda _: (0, 1)))
        return (
            counts
            | beam.Flatten()
            | "Count"
            >> beam.CombineGlobally(beam.combiners.TupleCombineFn(sum, sum)).without_defaults()  # Any windows will do.
            | "Check" >> beam.Map(_check, self._max_failed, self._table)
        )


def _check(counts: tuple[int, int], max_failed: int | float, table: str) -> None:
    written, dead = counts
    check_count(dead, max_failed, table)
    if isinstance(max_failed, float) and dead > max_failed * (written + dead):
        raise TooManyFailures(
            f"{dead:,} of {written + dead:,} rows could not be written to {table}, and max_failed={max_failed} allows "
            f"no larger share; the dead letters tell why"
        )
