"""Reads a part of an epoch from Cassandra on the ranks of horovodrun, for tests/test_resume.py.

rank<r>.json: positions, labels and weights of the rows of this rank, its steps, and what it was told about plans.
state.json, written by rank 0: where the next run goes on.
"""

import argparse
import json
import logging
from pathlib import Path

import tensorflow as tf

import tfcass
from tfcass import training
from tfcass.sharding import Cursor, Plan


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--contact-point", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--splits", type=Path, required=True, help="of the epoch before")
    parser.add_argument("--grown", type=Path, required=True, help="of this epoch")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, help="stop after so many")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    shard = tfcass.Shard.from_horovod()
    args.out.mkdir(parents=True, exist_ok=True)
    state, plans = args.out / "state.json", args.out / "plans"
    if state.exists():
        cursor = Cursor.from_json(state.read_text())
        plan = Plan(training.pinned_splits(cursor, folder=plans), "train", seed=7)
    else:
        before = Plan(tfcass.Splits.load(args.splits), "train", seed=7)
        plan = training.grown_plan(before, lambda: newer_splits(args.grown, shard), folder=plans)
        cursor = plan.cursor(1)
    told = difference_told(plan, shard)
    training.check_same_plan(plan, batch_size=args.batch)

    rows = training.row_batches(
        plan,
        shard,
        table=args.table,
        cluster=tfcass.Cluster([args.contact_point], port=args.port),
        batch_size=args.batch,
        epochs=cursor.epoch + 1,
        start=cursor,
        remainder="uneven",
        failures=training.Failures(policy="zero_weight", budget=10),
    )
    hvd = training.ranks.horovod()
    part = shard.part(plan, cursor, batch_size=args.batch, remainder="uneven")
    result = {"positions": [], "labels": [], "weights": [], "sums": []}
    for row in rows.take(part.steps if args.steps is None else args.steps):
        # What a training step would exchange.
        labels = tf.cast(row["label"], tf.float32) * row["weight"]
        result["sums"].append(float(hvd.allreduce(tf.reduce_sum(labels), op=hvd.Sum, name="labels")))
        result["positions"] += row["position"].numpy().tolist()
        result["labels"] += row["label"].numpy().tolist()
        result["weights"] += row["weight"].numpy().tolist()
    if args.steps is None:
        hvd.join()  # Ranks that have no last step wait for those that do.
    if shard.rank == 0:
        state.write_text(part.after(part.most_steps if args.steps is None else args.steps).to_json())
    (args.out / f"rank{shard.rank}.json").write_text(
        json.dumps({**result, "digest": plan.digest, "told": told, "steps": len(result["sums"])})
    )


def newer_splits(folder: Path, shard: tfcass.Shard) -> tfcass.Splits:
    assert shard.rank == 0
    return tfcass.Splits.load(folder)


def difference_told(plan: Plan, shard: tfcass.Shard) -> str:
    """What ranks are told when the last of them has other data."""
    other = Plan(plan.splits, "train", seed=7, leave_out=plan.splits.keys("train")[:1])
    try:
        training.check_same_plan(other if shard.rank == shard.size - 1 else plan)
    except tfcass.SplitError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main()
