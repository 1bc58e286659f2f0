"""How a slide is stained: fourteen numbers, made by beam_pipelines and used there and in training. numpy only.

The pipeline writes them once per slide to a table; tfcass.stain applies them to images.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfcass.errors import OptionError

METHODS = ("macenko", "reinhard")

# Names of the numbers, in the order of a statistics vector, which are columns of the table, too.
STATISTICS = ("mean_l", "mean_a", "mean_b", "std_l", "std_a", "std_b")
STATISTICS += ("h_r", "h_g", "h_b", "e_r", "e_g", "e_b", "h_max", "e_max")

MAX_GAIN = 4.0  # By which contrast or density may grow or shrink. A slide so pale has noise rather than stain in it.


@dataclasses.dataclass(frozen=True)
class StainStatistics:
    """How the tissue of one slide is stained.

    Attributes:
      mean, std: (L, a, b) of its pixels in CIELAB (D65): what Reinhard's method matches. NaN when there was too little.
      haematoxylin, eosin: (r, g, b) optical densities of the two stains, of length 1: Macenko's method. NaN when there
        are no two stains to be told apart.
      maxima: Concentration that 99% of the pixels stay below, of each of the two.
      note: Why some are NaN, or "".
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    maxima: tuple[float, float]
    note: str = ""

    def usable(self, method: str) -> bool:
        """Whether this method can work with them; if not, it leaves images as they are."""
        values = (*self.mean, *self.std) if method == "reinhard" else (*self.haematoxylin, *self.eosin, *self.maxima)
        return all(math.isfinite(value) for value in values)

    def vector(self) -> np.ndarray:
        """float32 [14], in the order of STATISTICS."""
        return np.array([*self.mean, *self.std, *self.haematoxylin, *self.eosin, *self.maxima], np.float32)

    def columns(self) -> dict[str, float | None]:
        """As columns of a row; NaN is None."""
        numbers = (*self.mean, *self.std, *self.haematoxylin, *self.eosin, *self.maxima)
        return {
            name: float(value) if math.isfinite(value) else None
            for name, value in zip(STATISTICS, numbers, strict=True)
        }

    @classmethod
    def from_columns(cls, row: Mapping[str, Any]) -> StainStatistics:
        """Turns a row back."""
        values = [math.nan if row[name] is None else float(row[name]) for name in STATISTICS]
        mean, std, h, e = (tuple(values[first : first + 3]) for first in (0, 3, 6, 9))
        return cls(mean, std, h, e, (values[12], values[13]), note=row.get("note") or "")


# To which slides are brought unless another reference is named. The directions of the stains were measured on a picture
# of a H&E section; the amounts are those of a section of middle strength, and mean and std those of the picture then.
DEFAULT_REFERENCE = StainStatistics(
    mean=(54.66, 26.8, -16.53),
    std=(13.03, 3.68, 5.77),
    haematoxylin=(0.5469, 0.7334, 0.4037),
    eosin=(0.3093, 0.7781, 0.5467),
    maxima=(1.9, 1.0),
)


def check_method(method: str) -> None:
    """Raises OptionError unless `method` is one of METHODS."""
    if method not in METHODS:
        raise OptionError(f"method={method!r} is not one of {', '.join(METHODS)}")


def check_reference(reference: StainStatistics, method: str) -> None:
    """Raises OptionError unless images can be brought to `reference`."""
    if not isinstance(reference, StainStatistics):
        raise OptionError(f"reference={reference!r} is not a StainStatistics")
    if not reference.usable(method):
        raise OptionError(f"the reference cannot be used for {method}: {reference.note or 'it has no numbers'}")
