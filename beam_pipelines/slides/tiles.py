"""TilingOptions; fractions of tissue and annotation -> patch locations with stable ids."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from beam_pipelines.slides.quality import QualityOptions
from tfcass.errors import OptionError

LABELS: Mapping[str, int] = MappingProxyType({"normal": 0, "tumor": 1})

# The namespace of all patch ids. Changing it changes every id, so that no stored patch would be recognised again.
PATCH_NAMESPACE = uuid.UUID("c8d0b5d5-6f6e-5b52-9f0e-6f3a6f2b7a51")

NOT_ANNOTATED = "not annotated"
TOO_LITTLE_ANNOTATED = "too little annotated"
TOO_LITTLE_TISSUE = "too little tissue"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TilingOptions:
    """How slides are cut. Levels are nominal: downsample 2**level (see the package docstring).

    Attributes:
      mask_level: Of the drawn masks and the tissue mask. Lower is finer, and takes more memory.
      decision_level: Of the grid: one patch per pixel, kept or not by the fractions inside that pixel.
      patch_level: Of the patch's own pixels.
      patch_size: Side of a patch in pixels of `patch_level`; a decision pixel must cover exactly one patch.
      min_tissue: Smallest fraction of tissue in a kept patch, in [0, 1].
      min_annotated: Smallest fraction of one class in a kept patch, in (0, 1]. Below 0.5 two classes may qualify: the
        larger wins.
    """

    mask_level: int = 6
    decision_level: int = 9
    patch_level: int = 1
    patch_size: int = 256
    min_tissue: float = 0.30
    min_annotated: float = 0.5
    quality: QualityOptions = QualityOptions()

    def __post_init__(self) -> None:
        for name in ("mask_level", "decision_level", "patch_level"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 16:
                raise OptionError(f"{name}={value!r} is not a whole number in [0, 16]")
        if isinstance(self.patch_size, bool) or not isinstance(self.patch_size, int) or self.patch_size < 1:
            raise OptionError(f"patch_size={self.patch_size!r} is not a positive whole number of pixels")
        if self.mask_level > self.decision_level:
            raise OptionError(
                f"mask_level={self.mask_level} is coarser than decision_level={self.decision_level}; "
                "make it smaller or equal"
            )
        if 2**self.decision_level != self.footprint_l0:
            raise OptionError(
                f"a pixel of decision_level={self.decision_level} covers {2**self.decision_level} level-0 pixels, "
                f"but a patch of patch_size={self.patch_size} at patch_level={self.patch_level} covers "
                f"{self.footprint_l0}; "
                "choose them so that 2**decision_level == patch_size * 2**patch_level"
            )
        for name in ("min_tissue", "min_annotated"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise OptionError(f"{name}={value!r} is not a fraction in [0, 1]")
        if self.min_annotated == 0:
            raise OptionError("min_annotated=0 would label what nobody annotated; choose a fraction above 0")

    @property
    def footprint_l0(self) -> int:
        """Side of a patch in level-0 pixels, which is also the step of the grid."""
        return self.patch_size * 2**self.patch_level

    @property
    def patch_downsample(self) -> int:
        """Level-0 pixels per pixel of a patch."""
        return 2**self.patch_level

    @property
    def grid(self) -> str:
        """What a patch's pixels depend on besides the slide and the corner: part of its id."""
        return f"level={self.patch_level} size={self.patch_size}"


@dataclasses.dataclass(frozen=True)
class Rejections:
    x_l0: np.ndarray
    y_l0: np.ndarray
    reasons: list
    metrics: list
    value: np.ndarray
    threshold: np.ndarray


@dataclasses.dataclass(frozen=True)
class SlideRef:
    """A slide to tile, and what the metadata table says about it.

    Attributes:
      path: Where the slide is.
      patient_id: Whose it is; splits keep a patient's patches together.
      slide_num: Which one of the patient's slides.
    """

    path: str
    patient_id: str
    slide_num: int


@dataclasses.dataclass(frozen=True)
class PatchLocation:
    """One patch to be: a row of the metadata table, with the table's column names except for the frame in `x_l0`,
    `y_l0`.

    Attributes:
      patient_id, slide_num: From the SlideRef.
      slide: File name of the slide.
      label: 0 normal, 1 tumour.
      x_l0, y_l0: Top-left corner in level-0 pixels.
      level: Nominal level of the patch's pixels.
      mpp: Micrometres per pixel of the patch, or None when the slide does not tell.
      tissue, annotated: Fraction of the patch that shows tissue; that is annotated as `label`.
      patch_id: Same for the same pixels, on every run.
    """

    patient_id: str
    slide_num: int
    slide: str
    label: int
    x_l0: int
    y_l0: int
    level: int
    mpp: float | None
    tissue: float
    annotated: float
    patch_id: uuid.UUID


def patch_id(content_id: str, grid: str, x_l0: int, y_l0: int) -> uuid.UUID:
    """The id of the patch at a corner: a function of what its pixels are, not of path, label, encoding or run.

    Args:
      content_id: `Slide.content_id`.
      grid: `TilingOptions.grid`.
      x_l0, y_l0: Top-left corner in level-0 pixels.
    """
    # The length goes first so that no two inputs make one text, whatever a content id holds.
    return uuid.uuid5(PATCH_NAMESPACE, f"{len(content_id)}:{content_id} {grid} x={int(x_l0)} y={int(y_l0)}")


def plan_patches(
    ref: SlideRef,
    *,
    slide_name: str,
    content_id: str,
    mpp_l0: float | None,
    annotated: Mapping[str, np.ndarray],
    tissue: np.ndarray,
    options: TilingOptions,
) -> tuple[list[PatchLocation], dict[str, int]]:
    """Chooses the patches of one slide.

    Args:
      ref: Patient and slide number.
      slide_name, content_id, mpp_l0: Of the open slide; mpp at level 0, or None.
      annotated: Class name ("normal", "tumor") -> float32 [rows, columns], the fraction of each decision pixel that
        is so annotated.
      tissue: float32 [rows, columns], fraction of tissue of each decision pixel.
      options: How to cut.
    Returns:
      The patches, row by row from the top left; and reason -> number of decision pixels left out. Both together are
      the whole grid.
    Raises:
      ValueError: arrays of different shapes, or a class other than those of LABELS.
    """
    if unknown := sorted(set(annotated) - set(LABELS)):
        raise ValueError(f"unknown classes {unknown}; the known ones are {sorted(LABELS)}")
    names = sorted(
        annotated, key=LABELS.__getitem__, reverse=True
    )  # Tumour first: argmax takes it when both are equal.
    if any(annotated[name].shape != tissue.shape for name in names):
        raise ValueError(
            f"shapes differ: tissue {tissue.shape}, " + ", ".join(f"{n} {annotated[n].shape}" for n in names)
        )
    fractions = np.stack([annotated[name] for name in names]) if names else np.zeros((1, *tissue.shape), np.float32)
    labels = np.array([LABELS[name] for name in names] or [0])
    best = fractions.argmax(axis=0)
    share = fractions.max(axis=0)
    qualified = share >= options.min_annotated
    keep = qualified & (tissue >= options.min_tissue)
    rejected = {
        NOT_ANNOTATED: int((share == 0).sum()),
        TOO_LITTLE_ANNOTATED: int(((share > 0) & ~qualified).sum()),
        TOO_LITTLE_TISSUE: int((qualified & ~keep).sum()),
    }
    step_l0 = options.footprint_l0
    locations = [
        PatchLocation(
            patient_id=ref.patient_id,
            slide_num=ref.slide_num,
            slide=slide_name,
            label=int(labels[best[row, column]]),
            x_l0=int(column) * step_l0,
            y_l0=int(row) * step_l0,
            level=options.patch_level,
            mpp=None if mpp_l0 is None else mpp_l0 * options.patch_downsample,
            tissue=float(tissue[row, column]),
            annotated=float(share[row, column]),
            patch_id=patch_id(content_id, options.grid, column * step_l0, row * step_l0),
        )
        for row, column in np.argwhere(keep)
    ]
    return locations, rejected
