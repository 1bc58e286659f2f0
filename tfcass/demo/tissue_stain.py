"""Pictures <-> amounts of stain. Colour lives here, shape and texture elsewhere.

A stained slide swallows light: each stain adds its amount times its own absorption of red, green and blue
(Beer-Lambert). Taking a picture apart into amounts of haematoxylin and eosin and putting it together with other
absorptions stains it anew, as another laboratory would have.
"""

from __future__ import annotations

import dataclasses

import numpy as np

# Absorption of red, green, blue by one unit of stain: haematoxylin and eosin as in Macenko's reference (ISBI 2009,
# 1107-1110), the pair with DAB, brown, after Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23(4):291-299, 2001.
HAEMATOXYLIN = np.array([0.563, 0.720, 0.406])
EOSIN = np.array([0.216, 0.801, 0.558])
HAEMATOXYLIN_BESIDE_DAB = np.array([0.650, 0.704, 0.286])
DAB = np.array([0.268, 0.570, 0.776])
_PINK = np.array([0.18, 0.80, 0.43])  # Eosin as restained: the pictures' own leans to red.

AMOUNT_SCALE = 100.0  # Amounts are kept as uint8: 100 is one unit, 2.55 the darkest.


@dataclasses.dataclass(frozen=True)
class Stain:
    """How one laboratory's slides look.

    Attributes:
      haematoxylin, eosin: Absorption of (red, green, blue) by one unit.
      glass: Colour of the empty slide, (red, green, blue) in [0, 255].
    """

    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    glass: tuple[float, float, float]

    @classmethod
    def random(cls, rng: np.random.Generator) -> Stain:
        """Another laboratory: other hues, other strengths, another lamp."""
        haematoxylin = HAEMATOXYLIN * rng.uniform(0.8, 1.2) + rng.normal(0, 0.035, 3)
        eosin = _PINK * rng.uniform(0.7, 1.1) + rng.normal(0, 0.04, 3)
        glass = np.array([244.0, 242.0, 243.0]) + rng.uniform(-4, 4, 3)
        return cls(*(tuple(float(v) for v in np.clip(x, 0.02, 250)) for x in (haematoxylin, eosin, glass)))

    def table(self) -> np.ndarray:
        """uint8 [256, 256, 3]: colour of each pair of amounts."""
        amount = np.arange(256) / AMOUNT_SCALE
        density = amount[:, None, None] * np.array(self.haematoxylin) + amount[None, :, None] * np.array(self.eosin)
        return (np.array(self.glass) * np.exp(-density) + 0.5).astype(np.uint8)


def unstain(rgb: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Amounts of two stains, float64 [height, width, 2], of a picture uint8 [height, width, 3] on white."""
    density = -np.log((rgb.astype(np.float64) + 1) / 256)
    amounts = density @ np.linalg.inv(
        np.stack([first, second, np.cross(first, second)])
    )  # What neither explains is given up.
    return np.maximum(amounts[..., :2], 0)


def level_amounts(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Gives pictures [..., 2] the same distribution of each stain, the mean of theirs, as uint8 amounts.

    So no colour statistic tells one picture from the other, and a classifier has to look at shapes.
    """
    steps = np.linspace(0, 1, 512)
    levelled = [np.empty(picture.shape, np.uint8) for picture in pictures]
    for stain in range(2):
        quantiles = [np.quantile(picture[..., stain], steps) for picture in pictures]
        common = np.mean(quantiles, axis=0)
        for picture, own, out in zip(pictures, quantiles, levelled, strict=True):
            amounts = np.interp(picture[..., stain], own, common)
            out[..., stain] = np.clip(amounts * AMOUNT_SCALE, 0, 255)
    return levelled
