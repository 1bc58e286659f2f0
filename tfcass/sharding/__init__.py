"""Who reads what, and when: (plan, epoch, rank, size) -> keys, without communication. No TensorFlow.

    plan = Plan(splits, "train", seed=7)                # what is read: the same on every rank
    shard = tfcass.Shard.from_horovod()                 # who reads
    part = shard.part(plan, plan.cursor(epoch=3), batch_size=64)
    keys = part.keys(0, part.rows)                      # uint8 [m, 16]
    state = part.after(10).to_json()                    # after ten steps: all that a resumed run needs, at any size

Every rank computes the same order, one global shuffle for each epoch. Step s takes the positions [s * size * batch,
(s + 1) * size * batch) of it, and rank r those at r, r + size, ...: after any step, what all ranks together have read
is a prefix of the order, and other ranks, of another number and batch size, can go on from there.

plan.py        Plan: a split, its order in each epoch, and what is drawn       start here
cursor.py      Cursor: where a run is in its plan
shard.py       Shard: rank and size; Part: what one rank reads of an epoch
order.py       EpochOrder: a seeded order of 100 million rows without a list of them
sampling.py    ByClass, ByWeight: epochs that draw some rows more often than others
workers.py     for_workers: n train and n validation splits, one of each per worker
"""

from tfcass.sharding.checks import check_order
from tfcass.sharding.cursor import Cursor
from tfcass.sharding.order import EpochOrder
from tfcass.sharding.plan import Growth, Plan
from tfcass.sharding.sampling import ByClass, ByWeight, Drawn
from tfcass.sharding.shard import REMAINDERS, Part, Shard
from tfcass.sharding.workers import WorkerSplits, for_workers

__all__ = [
    "REMAINDERS",
    "ByClass",
    "ByWeight",
    "Cursor",
    "Drawn",
    "EpochOrder",
    "Growth",
    "Part",
    "Plan",
    "Shard",
    "WorkerSplits",
    "check_order",
    "for_workers",
]
