"""Rows -> splits: lists of UUIDs, disjoint by group, stratified by class. Pure numpy and Arrow, nothing else.

making.py      split(): the whole way                          start here
options.py     what was asked, checked
selection.py   where, include, exclude: which rows take part   filters.py   conditions as text
labels.py      label columns -> classes                        columns.py   Arrow columns as numpy; sorting by key
rows.py        an Arrow table, checked, in canonical order     cells.py     rows counted by group and stratum
assign.py      groups -> splits, as close to the asked ratios as the groups allow: every.py, search.py
draw.py        quotas (max_patches, balance, targets) and the round-robin draw over groups
splits.py      Splits: what comes out                          parts.py     the rows of one
recipe.py      what splits were made of, and how
report.py      SplitReport: counts per class and group, and the proof that no group leaks
folds.py       turns of cross-validation, nested and repeated
growing.py     extend, merge, subtract, prune
plot.py        a picture of class and group balance (matplotlib)
store.py       Splits <-> manifest.json + Parquet
naming.py      "did you mean"
randomness.py  seeded order, the same on every machine
"""

from tfcass.splits.folds import repeated_folds
from tfcass.splits.making import split
from tfcass.splits.recipe import Recipe
from tfcass.splits.report import SplitReport
from tfcass.splits.splits import Splits

__all__ = ["Recipe", "SplitReport", "Splits", "repeated_folds", "split"]
