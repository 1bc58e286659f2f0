"""Where keys are among other keys."""

import numpy as np

from tfcass.splits.columns import key_order


def find_keys(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """int64 [m]: the row of each wanted key in `keys`, -1 for one that is not there.

    Args:
      keys: uint8 [n, 16], each at most once. Quickest where they ascend, as those of splits do.
      wanted: uint8 [m, 16].
    """
    if not len(keys) or not len(wanted):
        return np.full(len(wanted), -1, np.int64)
    order = None
    first = _first_words(keys)
    if (first[1:] < first[:-1]).any():
        order = key_order(keys)
        keys, first = keys[order], first[order]
    asked = _first_words(wanted)
    rows = np.searchsorted(first, asked)
    found = np.full(len(wanted), -1, np.int64)
    # Several keys may begin with the same eight bytes: those are gone through one by one.
    open_ = np.arange(len(wanted))
    while True:
        open_ = open_[rows[open_] < len(keys)]
        open_ = open_[first[rows[open_]] == asked[open_]]
        if not len(open_):
            break
        same = (keys[rows[open_]] == wanted[open_]).all(axis=1)
        found[open_[same]] = rows[open_[same]]
        open_ = open_[~same]
        rows[open_] += 1
    return found if order is None else np.where(found >= 0, order[found], -1)


def _first_words(keys: np.ndarray) -> np.ndarray:
    """uint64 [n]: the first eight bytes, as a number that ascends with them."""
    return np.ascontiguousarray(keys).view(">u8")[:, 0].astype(np.uint64)
