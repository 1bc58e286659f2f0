"""Do the annotations lie on the tissue? If they do not, which offset would put them there?

A drawing in another frame than it is read in lies beside the tissue: QuPath crops MIRAX slides to their scanned box,
other programs do not. Nothing in the file tells; the picture does.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy import signal

_SIDE = 512  # Both masks are made this small before all offsets are tried.
_WELL, _BADLY = 0.5, 0.1  # Share of the annotated area on tissue: above the first no alarm, below the second always.
_GAIN = 0.25  # In between, the best offset must win this much.
_REACH = 0.05  # A far offset must win this much over none, one across the whole slide.
_SAME = 3  # Pixels of the small masks: so near to a known offset, it is the known one.


@dataclasses.dataclass(frozen=True)
class Misplacement:
    """Annotations that lie beside the tissue.

    Attributes:
      on_tissue: Share of the annotated area that shows tissue, in [0, 1].
      dx_l0, dy_l0: What to add to the coordinates, in level-0 pixels; (0, 0) when no offset is much better.
      on_tissue_after: Share that would then show tissue.
      cause: "bounds": the coordinates count from the corner of the scanned box, and were taken to count from that of
        the plane; "level0": the other way round; "": the offset is neither.
    """

    on_tissue: float
    dx_l0: int
    dy_l0: int
    on_tissue_after: float
    cause: str = ""

    def __str__(self) -> str:
        said = f"only {self.on_tissue:.0%} of the annotated area shows tissue"
        if (self.dx_l0, self.dy_l0) == (0, 0):
            return f"{said}: are the annotations of this slide, and in level-0 pixels?"
        said += (
            f"; moved by dx={self.dx_l0:+,}, dy={self.dy_l0:+,} level-0 pixels it would be {self.on_tissue_after:.0%}"
        )
        if self.cause:
            origin = "the scanned box" if self.cause == "bounds" else "the whole plane"
            return (
                f"{said}: that is the slide's bounds, and the file counts from the corner of {origin}; "
                f"pass --annotation-frame {self.cause}"
            )
        return f"{said}: are the annotations of this slide, and in level-0 pixels?"


def misplacement(
    annotated: np.ndarray,
    tissue: np.ndarray,
    downsample: float,
    *,
    bounds_l0: tuple[int, int, int, int] | None = None,
) -> Misplacement | None:
    """Compares where is annotated and where is tissue.

    Args:
      annotated, tissue: bool [height, width], of one slide and level.
      downsample: Level-0 pixels per pixel of them.
      bounds_l0: `Slide.bounds_l0`: its corner is tried by itself.
    Returns:
      None when the annotations are well placed, or when there is none of them or no tissue.
    Raises:
      ValueError: the masks have different shapes.
    Source: cross-correlation of both masks, by the Fourier transform.
    """
    if annotated.shape != tissue.shape:
        raise ValueError(f"annotated is {annotated.shape} and tissue {tissue.shape}; expected one shape")
    if not annotated.any() or not tissue.any():
        return None
    on_tissue = float(tissue[annotated].mean())
    if on_tissue >= _WELL:
        return None
    factor = max(1, math.ceil(max(annotated.shape) / _SIDE))
    drawn, shown = (_smaller(mask, factor) for mask in (annotated, tissue))
    pixel_l0 = downsample * factor
    columns, rows, shares = _shares_by_offset(drawn, shown)
    far = np.hypot(columns[None, :], rows[:, None]) / math.hypot(*drawn.shape)
    row, column = np.unravel_index(np.argmax(shares - _REACH * far), shares.shape)
    best = Misplacement(
        on_tissue,
        round(float(columns[column]) * pixel_l0),
        round(float(rows[row]) * pixel_l0),
        float(min(1.0, shares[row, column])),
    )
    for cause, sign in (("bounds", 1), ("level0", -1)) if bounds_l0 is not None else ():
        dx_l0, dy_l0 = sign * bounds_l0[0], sign * bounds_l0[1]
        known = _share_at(columns, rows, shares, dx_l0 / pixel_l0, dy_l0 / pixel_l0)
        near = max(abs(best.dx_l0 - dx_l0), abs(best.dy_l0 - dy_l0)) <= _SAME * pixel_l0
        if (dx_l0 or dy_l0) and (near or known >= 0.9 * best.on_tissue_after):
            best = Misplacement(on_tissue, dx_l0, dy_l0, known, cause)
            break
    if best.on_tissue_after - on_tissue >= _GAIN:
        return best
    return Misplacement(on_tissue, 0, 0, on_tissue) if on_tissue < _BADLY else None


def _smaller(mask: np.ndarray, factor: int) -> np.ndarray:
    """float64: mean of factor x factor pixels."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % factor), (0, -width % factor)))
    return padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor).mean(axis=(1, 3))


def _shares_by_offset(drawn: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets in columns and rows, and [rows, columns] the share of `drawn` on `shown` after each."""
    overlap = signal.correlate(shown, drawn, mode="full", method="fft")
    rows, columns = (np.arange(overlap.shape[axis]) - (drawn.shape[axis] - 1) for axis in (0, 1))
    return columns, rows, overlap / drawn.sum()


def _share_at(columns: np.ndarray, rows: np.ndarray, shares: np.ndarray, dx: float, dy: float) -> float:
    column, row = np.searchsorted(columns, round(dx)), np.searchsorted(rows, round(dy))
    if column >= len(columns) or row >= len(rows) or columns[column] != round(dx) or rows[row] != round(dy):
        return 0.0
    return float(min(1.0, shares[row, column]))
