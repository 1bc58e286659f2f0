"""Batches of rows with their weights, in which failed rows do not bring the ranks out of step."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

import tfcass
from tfcass.errors import OptionError
from tfcass.schema import describe_table
from tfcass.sharding import Cursor, Plan, Shard
from tfcass.training.epochs import EpochParts
from tfcass.training.failures import ATTEMPTS, FailureRecord, Failures
from tfcass.training.messages import plain_message

Row = dict[str, tf.Tensor]
Fetch = Callable[[tf.data.Dataset], tf.data.Dataset]

_ADDED = ("weight", "epoch", "position")


def row_batches(
    plan: Plan,
    shard: Shard,
    *,
    table: str,
    cluster: "tfcass.Cluster",
    columns: Sequence[str] = ("label", "data"),
    options: "tfcass.FetchOptions | None" = None,
    batch_size: int,
    epochs: int,
    start: Cursor | None = None,
    remainder: str = "drop",
    whole_batches: bool = False,
    decode: Callable[[Row], Row] | None = None,
    failures: Failures | None = None,
) -> tf.data.Dataset:
    """Batches of rows: what this rank trains on from `start` to the end of the last epoch.

        rows = training.row_batches(plan, shard, table="ks.data_by_uuid", cluster=cluster, batch_size=64, epochs=9,
                                    decode=decode, failures=training.Failures(policy="replace", budget=100))
        model.fit(rows.map(lambda row: (row["pixels"], row["label"], row["weight"])).prefetch(2), ...)

    Args:
      plan, shard, remainder, whole_batches: As for Shard.part.
      table, cluster, columns: As for CassandraDataset.
      options: As for CassandraDataset; deterministic. `missing` is left to `failures`.
      batch_size, epochs, start: As for key_batches.
      decode: One row -> what the model needs of it: a dict of scalars (the columns, the key column among them) to a
        dict of tensors whose shapes do not differ between rows. Whatever it raises is a failure of that row.
      failures: What becomes of missing rows and of those that `decode` fails on; None: the pipeline raises.
    Returns:
      Dataset of dict: the key column, what `decode` gives (without it, the columns), and
        "weight"    float32 [b]: 1; 0 for repeats of "pad", and for failed rows under "zero_weight"
        "epoch"     int64 [b]
        "position"  int64 [b]: in the epoch's order, see Part.positions
    Raises:
      SplitError, OptionError: As Shard.part; `decode` gives tensors of unknown shape.
      What CassandraDataset raises.

    While it is iterated: tf.errors.InvalidArgumentError when more rows failed than `failures` allows.
    """
    options = _checked_options(options, failures)
    parts = EpochParts(plan, shard, batch_size, epochs, start, remainder, whole_batches)
    fetch = tfcass.fetch(table, cluster=cluster, columns=columns, options=options)
    rows = parts.keys().apply(fetch)
    spec = {name: value for name, value in rows.element_spec.items() if name != "found" or failures is None}
    key = describe_table(cluster, table).uuid_key().name
    decoder = _Decoder(decode, spec)
    taken = [name for name in _ADDED if name in {key, *decoder.spec}]
    if taken:
        raise OptionError(f"{taken[0]!r} is added to each row, and the columns or `decode` have it; rename yours")
    if failures is None:
        steps = _Plain(decoder, key)
    else:
        steps = _Guarded(decoder, key, fetch, plan, failures, FailureRecord(failures, parts))
    together = tf.data.Dataset.zip((rows, parts.places()))
    return together.map(steps, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


class _Decoder:
    """Applies `decode` to the rows of a batch, each on its own."""

    def __init__(self, decode: Callable[[Row], Row] | None, batch_spec: dict[str, tf.TensorSpec]) -> None:
        self.decode = decode
        scalars = {name: tf.TensorSpec(value.shape[1:], value.dtype) for name, value in batch_spec.items()}
        self.spec = scalars
        if decode is None:
            return
        self.spec = (
            tf.data.Dataset.from_tensors({name: tf.zeros(value.shape, value.dtype) for name, value in scalars.items()})
            .map(decode)
            .element_spec
        )
        if not isinstance(self.spec, dict):
            raise OptionError(f"decode gives {self.spec}; it must give a dict of tensors")
        for name, value in self.spec.items():
            if not isinstance(value, tf.TensorSpec) or not value.shape.is_fully_defined():
                raise OptionError(
                    f"decode gives {name!r} as {value}: rows of a batch need one shape; resize, or tf.ensure_shape"
                )

    def all(self, rows: Row) -> Row:
        """Every row, or an error."""
        if self.decode is None:
            return rows
        size = tf.shape(next(iter(rows.values())), tf.int64)[0]
        # A dataset in the pipeline's own graph: its threads cannot wait for each other.
        return tf.data.Dataset.from_tensor_slices(rows).map(self.decode).batch(size).get_single_element()

    def those_that_can(self, rows: Row, found: tf.Tensor) -> tuple[Row, tf.Tensor]:
        """Decodes the rows that were found.

        Returns:
          Rows, zeros and "" in place of those that were not found or that `decode` failed on; bool [b], which are good.
        """
        if self.decode is None:
            return rows, found
        size = tf.size(found, tf.int64)
        numbers = tf.where(found)[:, 0]
        present = {name: tf.gather(value, numbers) for name, value in rows.items()}
        decoded = (
            tf.data.Dataset.from_tensor_slices((numbers, present))
            .map(lambda number, row: (number, self.decode(row)))
            .ignore_errors()
            .batch(tf.maximum(size, 1))
        )
        none = {name: tf.zeros([0, *spec.shape], spec.dtype) for name, spec in self.spec.items()}
        default = tf.data.Dataset.from_tensors((tf.zeros([0], tf.int64), none))
        numbers, good = decoded.concatenate(default).take(1).get_single_element()
        # Row i is entry place[i] of those decoded, with one more entry for all that failed.
        place = tf.tensor_scatter_nd_update(
            tf.fill([size], tf.size(numbers, tf.int64)), numbers[:, None], tf.range(tf.size(numbers, tf.int64))
        )
        filled = {
            name: tf.gather(tf.concat([good[name], tf.zeros([1, *spec.shape], spec.dtype)], 0), place)
            for name, spec in self.spec.items()
        }
        return filled, place < tf.size(numbers, tf.int64)


@dataclasses.dataclass(frozen=True)
class _Plain:
    """Columns and places -> an element, without a policy for failures."""

    decoder: _Decoder
    key: str

    def __call__(self, rows: Row, places: Row) -> Row:
        return {self.key: rows[self.key], **self.decoder.all(rows), **places}


@dataclasses.dataclass(frozen=True)
class _Guarded:
    """Columns and places -> an element, in which failed rows are dealt with."""

    decoder: _Decoder
    key: str
    fetch: Fetch
    plan: Plan
    failures: Failures
    record: FailureRecord

    def __call__(self, rows: Row, places: Row) -> Row:
        epoch, position = places["epoch"][0], places["position"]
        element, good = self._checked(rows, epoch, position)
        if self.failures.policy == "replace":
            element = tf.cond(
                tf.reduce_all(good), lambda: element, lambda: self._replaced(element, good, epoch, position)
            )
            return {**element, **places}
        return {**element, **places, "weight": places["weight"] * tf.cast(good, tf.float32)}

    def _checked(self, rows: Row, epoch: tf.Tensor, position: tf.Tensor) -> tuple[Row, tf.Tensor]:
        """Decodes, and writes down what failed."""
        rows = dict(rows)
        found = rows.pop("found")
        decoded, good = self.decoder.those_that_can(rows, found)
        names = sorted(rows)

        def note(epoch: int, positions: np.ndarray, found: np.ndarray, *columns: np.ndarray) -> bytes:
            failed = [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]
            reasons = [self._reason(row, there) for row, there in zip(failed, found, strict=True)]
            keys = [row[self.key].tobytes() for row in failed]
            at = [int(position) % self.plan.samples for position in positions]
            return self.record.add(int(epoch), list(zip(keys, at, reasons, strict=True))).encode()

        def noted() -> tf.Tensor:
            bad = tf.where(~good)[:, 0]
            columns = [tf.gather(rows[name], bad) for name in names]
            return tf.numpy_function(
                note, [epoch, tf.gather(position, bad), tf.gather(found, bad), *columns], tf.string
            )

        _stop_if(tf.cond(tf.reduce_all(good), lambda: tf.constant(""), noted))
        return {self.key: rows[self.key], **decoded}, good

    def _replaced(self, element: Row, good: tf.Tensor, epoch: tf.Tensor, position: tf.Tensor) -> Row:
        """Puts other rows in the places of those that failed."""

        def keys_of(epoch: int, positions: np.ndarray, attempt: int) -> np.ndarray:
            return self.plan.replacements(int(epoch), positions % self.plan.samples, int(attempt))

        def attempt_once(attempt: tf.Tensor, good: tf.Tensor, element: Row) -> tuple[tf.Tensor, tf.Tensor, Row]:
            bad = tf.where(~good)[:, 0]
            at = tf.gather(position, bad)
            keys = tf.ensure_shape(tf.numpy_function(keys_of, [epoch, at, attempt], tf.uint8), [None, 16])
            rows = tf.data.Dataset.from_tensors(keys).apply(self.fetch).get_single_element()
            others, fine = self._checked(rows, epoch, at)
            places = tf.boolean_mask(bad, fine)[:, None]
            element = {
                name: tf.tensor_scatter_nd_update(value, places, tf.boolean_mask(others[name], fine))
                for name, value in element.items()
            }
            return attempt + 1, tf.tensor_scatter_nd_update(good, places, tf.boolean_mask(fine, fine)), element

        attempts, good, element = tf.while_loop(
            lambda attempt, good, element: (attempt < ATTEMPTS) & ~tf.reduce_all(good),
            attempt_once,
            (tf.constant(0), good, element),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None]),
                {name: tf.TensorShape([None, *value.shape[1:]]) for name, value in element.items()},
            ),
        )

        def without(positions: np.ndarray, keys: np.ndarray) -> bytes:
            return self.record.exhausted(keys[0].tobytes(), int(positions[0])).encode()

        def told() -> tf.Tensor:
            bad = ~good
            arguments = [tf.boolean_mask(position, bad), tf.boolean_mask(element[self.key], bad)]
            return tf.numpy_function(without, arguments, tf.string)

        _stop_if(tf.cond(tf.reduce_all(good), lambda: tf.constant(""), told))
        return element

    def _reason(self, row: dict[str, object], found: bool) -> str:
        """Why a row failed: it is decoded once more, alone, to hear what is wrong with it."""
        if not found:
            return "missing"
        try:
            self.decoder.decode({name: tf.constant(value) for name, value in row.items()})
        except tf.errors.OpError as error:
            return f"undecodable: {plain_message(error)}"
        except Exception as error:  # Of Python code in a user's decode.
            return f"undecodable: {type(error).__name__}: {error}"
        return "undecodable"


def _stop_if(why: tf.Tensor) -> None:
    tf.debugging.Assert(tf.equal(why, ""), [why])


def _checked_options(options: "tfcass.FetchOptions | None", failures: Failures | None) -> "tfcass.FetchOptions":
    options = tfcass.FetchOptions() if options is None else options
    if not isinstance(options, tfcass.FetchOptions):
        raise OptionError(f"options={options!r} must be a tfcass.FetchOptions")
    if not options.deterministic:
        raise OptionError("FetchOptions(deterministic=False): rows must come in the order of their weights")
    if options.missing != "error":
        raise OptionError(
            f"FetchOptions(missing={options.missing!r}): batches must keep their size and rows their weight; pass "
            "failures=Failures(policy='zero_weight' or 'replace')"
        )
    if failures is None:
        return options
    if not isinstance(failures, Failures):
        raise OptionError(f"failures={failures!r} is not a Failures(...)")
    return dataclasses.replace(options, missing="empty")
