"""The ends of error messages: what there is, and what may have been meant."""

import difflib
from collections.abc import Iterable

_LISTED = 12


def listed(names: Iterable[object]) -> str:
    """["b", "a"] -> "b, a"; long lists are cut and counted."""
    names = [str(name) for name in names]
    more = f", ... {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def choices(name: object, names: Iterable[object]) -> str:
    """What follows an unknown `name`: "(has: train, val); did you mean 'train'?"."""
    names = [str(known) for known in names]
    near = difflib.get_close_matches(str(name), names, n=1)
    return f"(has: {listed(names)})" + (f"; did you mean {near[0]!r}?" if near else "")
