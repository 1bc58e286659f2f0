"""STAND-IN until i56-slides is merged."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Rejection:
    reason: str
    metric: str
    value: float
    threshold: float


@dataclasses.dataclass(frozen=True)
class QualityOptions:
    max_white: float | None = None


def rejection(metric, value, options):
    limit = getattr(options, f"max_{metric}", None)
    return Rejection(f"too {metric}", metric, value, limit) if limit is not None and value > limit else None
