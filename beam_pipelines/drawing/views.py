"""What is drawn of a slide: plain values."""

from collections.abc import Sequence

import attrs
import numpy as np


@attrs.frozen(eq=False)
class Outline:
    """One annotated region.

    Attributes:
      label: 0 normal, 1 tumour.
      vertices_l0: float [n, 2], x and y in level-0 pixels; the last vertex joins the first.
    """

    label: int
    vertices_l0: np.ndarray


@attrs.frozen(eq=False)
class SlideView:
    """A slide as the report draws it.

    Attributes:
      name: File name of the slide.
      patient_id: Whose it is.
      split: Split of that patient ("train", "val", "test"), or "" when the slide is in none.
      thumbnail: uint8 [height, width, 3].
      downsample: Level-0 pixels per thumbnail pixel.
      corners_l0: int [n, 2], x and y of each kept patch's top-left corner, in level-0 pixels.
      labels: int [n], label of each kept patch.
      patch_side_l0: Side of a patch in level-0 pixels.
      outlines: Annotated regions.
      size_l0: Width and height of the slide in level-0 pixels.
      mpp: Micrometres per level-0 pixel, or None when the slide does not say.
      probabilities: float [n], predicted probability of tumour of each kept patch, or None when nothing was predicted.
    """

    name: str
    patient_id: str
    split: str
    thumbnail: np.ndarray
    downsample: float
    corners_l0: np.ndarray
    labels: np.ndarray
    patch_side_l0: float
    outlines: Sequence[Outline]
    size_l0: tuple[int, int]
    mpp: float | None = None
    probabilities: np.ndarray | None = None

    @property
    def right(self) -> float:
        """Share of patches whose class was predicted right, that is with a probability on the right side of 0.5."""
        if self.probabilities is None or not len(self.labels):
            return float("nan")
        return float(((self.probabilities >= 0.5) == (self.labels == 1)).mean())


@attrs.frozen(eq=False)
class PatchPicture:
    """One patch of the contact sheet. `encoded` is what the database returned: JPEG, PNG or TIFF bytes."""

    encoded: bytes
    label: int
    patient_id: str
    slide: str
    x_l0: int
    y_l0: int
