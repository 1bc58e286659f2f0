"""Rows -> splits: lists of UUIDs, disjoint by group, stratified by class. Pure numpy and Arrow, nothing else.

making.py   split(): the whole way                                 start here
rows.py     an Arrow table, checked and put in canonical order
assign.py   groups -> splits, as close to the asked ratios as the groups allow
draw.py     quotas (max_patches, balance) and the round-robin draw over groups
splits.py   Splits: what comes out
report.py   SplitReport: counts per class and group, and the proof that no group leaks
store.py    Splits <-> manifest.json + Parquet
naming.py   "did you mean"
randomness.py  seeded order, the same on every machine
"""

from tfcass.splits.making import split
from tfcass.splits.report import SplitReport
from tfcass.splits.splits import Recipe, Splits

__all__ = ["Recipe", "SplitReport", "Splits", "split"]
