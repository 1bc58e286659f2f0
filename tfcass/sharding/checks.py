"""Checks of settings that the parts of this package share."""

import numpy as np

from tfcass.errors import OptionError


def check_order(*, epoch: int, seed: int) -> None:
    """Raises OptionError unless both are non-negative integers."""
    check_count("epoch", epoch, least=0)
    check_count("seed", seed, least=0)


def check_count(what: str, value: object, *, least: int) -> None:
    """Raises OptionError unless `value` is an integer of at least `least`, 0 or 1."""
    if not is_int(value) or value < least:
        raise OptionError(f"{what}={value!r} is not a {'positive' if least else 'non-negative'} integer")


def is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
