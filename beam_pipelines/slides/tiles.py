"""TilingOptions; fractions of tissue and annotation -> patch locations with stable ids, and why the others are left."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from beam_pipelines.slides.grid import Grid, GridSpec, patch_id
from beam_pipelines.slides.quality import QualityOptions
from beam_pipelines.slides.tissue import TissueOptions
from tfcass.errors import OptionError

LABELS: Mapping[str, int] = MappingProxyType({"normal": 0, "tumor": 1})

NOT_ANNOTATED = "not annotated"
TOO_LITTLE_ANNOTATED = "too little annotated"
TOO_LITTLE_TISSUE = "too little tissue"
# Reason -> the metric that fell short, and the option that says of what.
REASONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        NOT_ANNOTATED: ("annotated", "min_annotated"),
        TOO_LITTLE_ANNOTATED: ("annotated", "min_annotated"),
        TOO_LITTLE_TISSUE: ("tissue", "min_tissue"),
    }
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TilingOptions:
    """How slides are cut. The defaults are the prostate recipe: masks at level 6, decisions at 9, patches of 256 at 1.

    Levels are nominal: downsample 2**level (see the package docstring).

    Attributes:
      mask_level: Of the drawn masks and the tissue mask. Lower is finer, and takes more memory.
      decision_level: The level with one pixel per patch, as the recipe names it; None: whatever the patch says (9 for
        the recipe's). When given, a pixel of it must cover exactly one patch: a check, and nothing else.
      patch_level: Of the patch's own pixels.
      patch_size: Side of a patch in its own pixels.
      mpp: Instead of `patch_level`: micrometres per pixel of the patches (see GridSpec).
      stride: From one patch to the next in patch pixels; None means `patch_size`.
      edge: "pad", "drop" or "shift": what becomes of patches past the slide's end (see GridSpec).
      area: "slide" or "bounds": where the grid begins and ends (see GridSpec).
      mpp_tolerance: How close a level's mpp must be to be read as it is (see GridSpec).
      min_tissue: Smallest fraction of tissue in a kept patch, in [0, 1].
      min_annotated: Smallest fraction of one class in a kept patch, in (0, 1]. Below 0.5 two classes may qualify: the
        larger wins.
      tissue: How tissue is told from glass.
      quality: Which patches are too blurred, inked, white or black to keep. By default all are kept, and measured.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    mask_level: int = 6
    decision_level: int | None = None
    patch_level: int = 1
    patch_size: int = 256
    mpp: float | None = None
    stride: int | None = None
    edge: str = "pad"
    area: str = "slide"
    mpp_tolerance: float = 0.02
    min_tissue: float = 0.30
    min_annotated: float = 0.5
    tissue: TissueOptions = TissueOptions()
    quality: QualityOptions = QualityOptions()

    def __post_init__(self) -> None:
        for name in ("mask_level", "decision_level", "patch_level"):
            value = getattr(self, name)
            if value is None and name == "decision_level":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 16:
                raise OptionError(f"{name}={value!r} is not a whole number in [0, 16]")
        for name in ("patch_size", "stride"):
            value = getattr(self, name)
            if value is None and name == "stride":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise OptionError(f"{name}={value!r} is not a positive whole number of pixels")
        if self.mpp is not None and self.patch_level != TilingOptions.patch_level:
            raise OptionError(f"patch_level={self.patch_level} and mpp={self.mpp!r} were both given; leave one out")
        if self.mpp is not None and self.decision_level is not None:
            raise OptionError(
                f"decision_level={self.decision_level} does not fit patches of mpp={self.mpp!r}; leave it out"
            )
        _ = self.grid  # Checks the rest of its fields.
        self._check_levels()
        for name in ("min_tissue", "min_annotated"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise OptionError(f"{name}={value!r} is not a fraction in [0, 1]")
        if self.min_annotated == 0:
            raise OptionError("min_annotated=0 would label what nobody annotated; choose a fraction above 0")

    def _check_levels(self) -> None:
        if self.mpp is not None:
            return
        if self.decision_level is not None and self.mask_level > self.decision_level:
            raise OptionError(
                f"mask_level={self.mask_level} is coarser than decision_level={self.decision_level}; "
                "make it smaller or equal"
            )
        if self.decision_level is not None and 2**self.decision_level != self.footprint_l0:
            raise OptionError(
                f"a pixel of decision_level={self.decision_level} covers {2**self.decision_level} level-0 pixels, "
                f"but a patch of patch_size={self.patch_size} at patch_level={self.patch_level} covers "
                f"{self.footprint_l0}; "
                "choose them so that 2**decision_level == patch_size * 2**patch_level, or leave decision_level out"
            )
        if 2**self.mask_level > self.footprint_l0:
            raise OptionError(
                f"a pixel of mask_level={self.mask_level} covers {2**self.mask_level} level-0 pixels, more than a "
                f"patch, which covers {self.footprint_l0}; make it smaller"
            )

    @property
    def grid(self) -> GridSpec:
        """Where patches lie, and at which resolution."""
        return GridSpec(
            size_px=self.patch_size,
            level=self.patch_level if self.mpp is None else None,
            mpp=self.mpp,
            stride_px=self.stride,
            edge=self.edge,
            area=self.area,
            mpp_tolerance=self.mpp_tolerance,
        )

    @property
    def footprint_l0(self) -> int:
        """Side of a patch in level-0 pixels.

        Raises:
          OptionError: Patches are cut by mpp, so that it differs from slide to slide.
        """
        if self.mpp is not None:
            raise OptionError(f"patches of mpp={self.mpp} have another footprint on each slide; ask the slide's grid")
        return self.patch_size * 2**self.patch_level


@dataclasses.dataclass(frozen=True)
class SlideRef:
    """A slide to tile, and what the metadata table says about it.

    Attributes:
      path: Where the slide is.
      patient_id: Whose it is; splits keep a patient's patches together.
      slide_num: Which one of the patient's slides.
      mpp: (x, y) of level 0, instead of what the slide says; see mpp_table.py.
      tissue_mask: A PNG to take instead of finding tissue; see `tissue.read_tissue_mask`.
    """

    path: str
    patient_id: str
    slide_num: int
    mpp: tuple[float, float] | None = None
    tissue_mask: str | None = None


@dataclasses.dataclass(frozen=True)
class PatchLocation:
    """One patch to be: a row of the metadata table, with the table's column names except for the frame in `x_l0`,
    `y_l0`.

    Attributes:
      patient_id, slide_num: From the SlideRef.
      slide: File name of the slide.
      label: 0 normal, 1 tumour.
      x_l0, y_l0: Top-left corner in level-0 pixels.
      level: Nominal level of the patch's pixels, or None when they were cut by mpp.
      mpp: Micrometres per pixel that the patch really has (the mean of both axes), or None when the slide does not
        tell.
      tissue, annotated: Fraction of the patch that shows tissue; that is annotated as `label`.
      patch_id: Same for the same pixels, on every run.
      downsample: Level-0 pixels per pixel of the patch, (x, y): what a worker needs to cut it.
    """

    patient_id: str
    slide_num: int
    slide: str
    label: int
    x_l0: int
    y_l0: int
    level: int | None
    mpp: float | None
    tissue: float
    annotated: float
    patch_id: uuid.UUID
    downsample: tuple[float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Rejections:
    """The grid positions of a slide that are not kept, and why: a ledger that can be filtered again without the slide.

    Attributes:
      x_l0, y_l0: int64 [m], corners in level-0 pixels, row by row.
      reason: int8 [m], index into `reasons`.
      tissue, annotated: float32 [m], fractions of the patch; `annotated` of the class with most of it.
      label: int32 [m], that class; -1 where nothing is annotated.
      thresholds: Reason -> what its metric would have had to reach.
    """

    x_l0: np.ndarray
    y_l0: np.ndarray
    reason: np.ndarray
    tissue: np.ndarray
    annotated: np.ndarray
    label: np.ndarray
    thresholds: Mapping[str, float]

    reasons = tuple(REASONS)

    def __len__(self) -> int:
        return len(self.x_l0)

    def counts(self) -> dict[str, int]:
        """Reason -> number of positions, zeros included."""
        return {name: int((self.reason == number).sum()) for number, name in enumerate(self.reasons)}

    def rows(self) -> Iterator[dict[str, Any]]:
        """One dict of plain values each: x_l0, y_l0, reason, metric, value, threshold, tissue, annotated, label."""
        for index in range(len(self)):
            reason = self.reasons[self.reason[index]]
            metric = REASONS[reason][0]
            yield {
                "x_l0": int(self.x_l0[index]),
                "y_l0": int(self.y_l0[index]),
                "reason": reason,
                "metric": metric,
                "value": float(getattr(self, metric)[index]),
                "threshold": self.thresholds[reason],
                "tissue": float(self.tissue[index]),
                "annotated": float(self.annotated[index]),
                "label": int(self.label[index]),
            }


def plan_patches(
    ref: SlideRef,
    *,
    slide_name: str,
    content_id: str,
    grid: Grid,
    annotated: Mapping[str, np.ndarray],
    tissue: np.ndarray,
    options: TilingOptions,
    labels: Mapping[str, int] = LABELS,
) -> tuple[list[PatchLocation], Rejections]:
    """Chooses the patches of one slide.

    Args:
      ref: Patient and slide number.
      slide_name, content_id: Of the open slide.
      grid: The positions to choose from.
      annotated: Class name -> float32 [n], the fraction of each grid position that is so annotated.
      tissue: float32 [n], fraction of tissue of each grid position.
      options: How to cut.
      labels: Class name -> stored number. Of classes with equal fractions, the one with the larger number wins.
    Returns:
      The patches, row by row from the top left, and the rest of the grid.
    Raises:
      ValueError: arrays of another length than the grid, or a class that has no label.
    """
    if unknown := sorted(set(annotated) - set(labels)):
        raise ValueError(f"unknown classes {unknown}; the known ones are {sorted(labels)}")
    # Tumour first: argmax takes it when both are equal.
    names = sorted(annotated, key=labels.__getitem__, reverse=True)
    if any(len(array) != len(grid) for array in (tissue, *annotated.values())):
        raise ValueError(
            f"shapes differ: grid of {len(grid)}, tissue {tissue.shape}, "
            + ", ".join(f"{n} {annotated[n].shape}" for n in names)
        )
    fractions = np.stack([annotated[name] for name in names]) if names else np.zeros((1, len(grid)), np.float32)
    numbers = np.array([labels[name] for name in names] or [-1], np.int32)
    label = numbers[fractions.argmax(axis=0)]
    share = fractions.max(axis=0)
    qualified = share >= options.min_annotated
    keep = qualified & (tissue >= options.min_tissue)
    reason = np.select([share == 0, ~qualified], [0, 1], 2).astype(np.int8)
    left = np.flatnonzero(~keep)
    rejections = Rejections(
        x_l0=grid.x_l0[left],
        y_l0=grid.y_l0[left],
        reason=reason[left],
        tissue=tissue[left],
        annotated=share[left],
        label=np.where(share[left] > 0, label[left], -1).astype(np.int32),
        thresholds={name: float(getattr(options, option)) for name, (_, option) in REASONS.items()},
    )
    mpp = None if grid.scale.mpp is None else (grid.scale.mpp[0] + grid.scale.mpp[1]) / 2
    locations = [
        PatchLocation(
            patient_id=ref.patient_id,
            slide_num=ref.slide_num,
            slide=slide_name,
            label=int(label[index]),
            x_l0=int(grid.x_l0[index]),
            y_l0=int(grid.y_l0[index]),
            level=grid.scale.level,
            mpp=mpp,
            tissue=float(tissue[index]),
            annotated=float(share[index]),
            patch_id=patch_id(content_id, grid.pixels, grid.x_l0[index], grid.y_l0[index]),
            downsample=grid.scale.downsample,
        )
        for index in np.flatnonzero(keep)
    ]
    return locations, rejections
