"""Keras 3 on several processes with Horovod, without horovod.keras, which does not work with Keras 3.

    shard = tfcass.Shard.from_horovod()                          # (0, 1) without Horovod: all of this works then too
    keys = training.epochs_of_keys(splits, "train", shard, batch_size=64, epochs=9, seed=7)
    optimizer = training.distributed_optimizer(keras.optimizers.Adam(1e-3))
    model.compile(optimizer, loss, metrics, jit_compile=False)   # XLA cannot compile Horovod's operations
    model.fit(keys.apply(tfcass.fetch(...)).map(decode), steps_per_epoch=shard.steps(splits, "train", batch_size=64),
              epochs=9, shuffle=False, callbacks=[training.BroadcastInitialState(), training.AverageStatistics(),
                                                  training.AverageMetrics(train_rows=...), training.Checkpoint(...)])

epochs.py      keys of several epochs as one dataset, so that reading ahead crosses from one epoch to the next
rows.py        the same with their rows and weights: failed rows do not bring the ranks out of step
failures.py    what becomes of failed rows, and how many may fail    quarantine.py   the list of them
plan_check.py  that all ranks read the same plan    growing.py   rows that come while a model is trained
optimizer.py   any Keras optimizer, its gradients averaged over ranks; mixed precision
learning_rate.py  scaled by the number of ranks, which it comes to over some epochs
callbacks.py   the same state on all ranks at the start and at each epoch's end; metrics over all ranks
input_metrics.py  whether the model waits for its input, said each epoch
log.py         history.json
augment.py     random changes to images by (seed, epoch, UUID): the same on any number of ranks
checkpoint.py  one file, written by rank 0; resume at the next epoch, or in the middle of one
elastic.py     processes that are lost and that join in the middle of an epoch    elastic_journal.py  what counted then
evaluation.py  confusion matrix over all ranks, IoU        scores.py      area under the ROC curve
interrupt.py   Ctrl-C ends training between two steps
journal.py     which keys the steps were given
profiling.py   a trace of some steps for TensorBoard
messages.py    errors of a running pipeline in one line
ranks.py       the few collective operations that these need; does nothing in a process of its own

Whole training scripts: examples/train_*.py; what to choose when: docs/training.md. Importing this package imports
TensorFlow.
"""

from tfcass.training.augment import Augmentation, random_resized_crop
from tfcass.training.callbacks import AverageMetrics, AverageStatistics, BroadcastInitialState
from tfcass.training.checkpoint import Checkpoint
from tfcass.training.elastic import ElasticState, run_elastic
from tfcass.training.elastic_journal import committed_keys
from tfcass.training.epochs import epochs_of_keys, key_batches
from tfcass.training.evaluation import Confusion, confusion
from tfcass.training.failures import Failures
from tfcass.training.growing import grown_plan, pinned_splits
from tfcass.training.input_metrics import InputMetrics
from tfcass.training.interrupt import StopOnInterrupt
from tfcass.training.journal import KeyJournal
from tfcass.training.learning_rate import LinearScaling
from tfcass.training.log import TrainingLog
from tfcass.training.messages import plain_message
from tfcass.training.optimizer import distributed_optimizer
from tfcass.training.plan_check import check_same_plan
from tfcass.training.profiling import Profile, TraceEvent, trace_events
from tfcass.training.quarantine import Quarantine
from tfcass.training.rows import row_batches
from tfcass.training.scores import auc_of_classes

__all__ = [
    "Augmentation",
    "AverageMetrics",
    "AverageStatistics",
    "BroadcastInitialState",
    "Checkpoint",
    "Confusion",
    "ElasticState",
    "Failures",
    "InputMetrics",
    "KeyJournal",
    "LinearScaling",
    "Profile",
    "Quarantine",
    "StopOnInterrupt",
    "TraceEvent",
    "TrainingLog",
    "auc_of_classes",
    "check_same_plan",
    "committed_keys",
    "confusion",
    "distributed_optimizer",
    "epochs_of_keys",
    "grown_plan",
    "key_batches",
    "pinned_splits",
    "plain_message",
    "random_resized_crop",
    "row_batches",
    "run_elastic",
    "trace_events",
]
