"""A slide, its regions and options -> masks, patch locations and counts: where the parts of this package meet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from beam_pipelines.slides.annotations import Region, clip_to_slide
from beam_pipelines.slides.encode import encode
from beam_pipelines.slides.errors import AnnotationError, SlideError
from beam_pipelines.slides.grid import Grid, box_fraction, plan_grid
from beam_pipelines.slides.masks import rasterise
from beam_pipelines.slides.open import Slide, SlideGeometry, open_slide
from beam_pipelines.slides.quality import Rejection, judge, measure
from beam_pipelines.slides.tiles import PatchLocation, Rejections, SlideRef, TilingOptions, plan_patches
from beam_pipelines.slides.tissue import ASSUMED_MPP, TissueOptions, read_tissue_mask, tissue_mask


@dataclasses.dataclass(frozen=True, eq=False)
class SlidePlan:
    """What will be cut from one slide, and what will not.

    Attributes:
      ref: The slide.
      slide: Its size, levels, mpp and the rest that is known of it.
      grid: All positions.
      locations: The patches, row by row.
      rejections: The other positions, each with the reason.
      annotated_masks: {"normal", "tumor"} -> bool [height, width] at the mask level.
      tissue: bool [height, width] at the mask level, or the user's mask.
      tissue_downsample: Level-0 pixels per pixel of `tissue`, (x, y).
      notes: What a user may want to know of this slide: no mpp, regions outside it, annotations mostly off the tissue.
    """

    ref: SlideRef
    slide: SlideGeometry
    grid: Grid
    locations: tuple[PatchLocation, ...]
    rejections: Rejections
    annotated_masks: Mapping[str, np.ndarray]
    tissue: np.ndarray
    tissue_downsample: tuple[float, float]
    notes: tuple[str, ...]

    @property
    def rejected(self) -> Mapping[str, int]:
        """Reason -> number of grid positions left out. With the locations they make up the whole grid."""
        return self.rejections.counts()


@dataclasses.dataclass(frozen=True)
class CutPatch:
    """A patch's pixels, measured.

    Attributes:
      data: Encoded; None when it is rejected.
      quality: Metric -> value, see quality.py.
      rejection: Why it is not kept, or None.
    """

    data: bytes | None
    quality: Mapping[str, float]
    rejection: Rejection | None


def plan_slide(ref: SlideRef, regions: Iterable[Region], options: TilingOptions) -> SlidePlan:
    """Opens a slide, draws its masks and plans its patches: either the whole slide is planned or none of it.

    Args:
      ref: The slide.
      regions: Of this slide, in level-0 pixels; may be empty, which plans no patch.
      options: How to cut.
    Raises:
      SlideError: the slide cannot be opened or its thumbnail not be read; it is too small for any patch; patches of an
        mpp are asked that it cannot give; or the tissue mask given for it cannot be used.
    """
    with open_slide(ref.path, mpp=ref.mpp) as slide:
        grid = plan_grid(slide, options.grid)
        _refuse_if_too_small(slide, grid, options)
        inside, problems = clip_to_slide(regions, slide.width_l0, slide.height_l0)
        annotated = rasterise(inside, slide.width_l0, slide.height_l0, options.mask_level)
        tissue, tissue_downsample, tissue_notes = _tissue(slide, ref, options)
        locations, rejections = plan_patches(
            ref,
            slide_name=slide.name,
            content_id=slide.content_id,
            grid=grid,
            annotated={label: box_fraction(mask, 2.0**options.mask_level, grid) for label, mask in annotated.items()},
            tissue=box_fraction(tissue, tissue_downsample, grid),
            options=options,
        )
        alarm = _frame_alarm(annotated, tissue) if ref.tissue_mask is None else []
        notes = (*slide.notes, *problems, *tissue_notes, *alarm)
        geometry = slide.geometry
    return SlidePlan(ref, geometry, grid, tuple(locations), rejections, annotated, tissue, tissue_downsample, notes)


def cut_patch(
    slide: Slide, location: PatchLocation, options: TilingOptions, encoding: str = "jpeg", quality: int = 90
) -> bytes:
    """Reads and encodes one planned patch, whatever its quality.

    Raises:
      SlideError: these pixels of the slide are damaged; other patches can still be cut.
      OptionError: unknown encoding or quality.
    """
    rgb = slide.read_patch(location.x_l0, location.y_l0, options.patch_size, location.downsample)
    return encode(rgb, encoding, quality)


def cut_and_judge(
    slide: Slide, location: PatchLocation, options: TilingOptions, encoding: str = "jpeg", quality: int = 90
) -> CutPatch:
    """Reads one planned patch, measures it, and encodes it unless `options.quality` rejects it.

    Raises:
      SlideError, OptionError: as `cut_patch`.
    """
    rgb = slide.read_patch(location.x_l0, location.y_l0, options.patch_size, location.downsample)
    metrics = measure(rgb, location.mpp)
    rejection = judge(metrics, options.quality)
    return CutPatch(None if rejection else encode(rgb, encoding, quality), metrics, rejection)


def _refuse_if_too_small(slide: Slide, grid: Grid, options: TilingOptions) -> None:
    """Were all of it tissue, would one patch be kept? Says so now, and not as a grid full of rejections."""
    enough = max(options.min_tissue, options.min_annotated) * grid.width_l0 * grid.height_l0
    if len(grid) and slide.width_l0 * slide.height_l0 >= enough:
        return
    raise SlideError(
        slide.path,
        f"is {slide.width_l0} x {slide.height_l0} pixels, too small for one patch of "
        f"{grid.width_l0:g} x {grid.height_l0:g} level-0 pixels" + ("" if len(grid) else f" (edge={options.edge!r})"),
    )


def _tissue(slide: Slide, ref: SlideRef, options: TilingOptions) -> tuple[np.ndarray, tuple[float, float], list[str]]:
    """Mask of tissue, its level-0 pixels per pixel, and notes."""
    if ref.tissue_mask is not None:
        try:
            mask, downsample = read_tissue_mask(ref.tissue_mask, slide.width_l0, slide.height_l0)
        except AnnotationError as error:  # Of this slide alone; the others can still be planned.
            raise SlideError(slide.path, str(error)) from error
        return mask, downsample, []
    downsample = 2.0**options.mask_level
    mpp = slide.mpp or (ASSUMED_MPP, ASSUMED_MPP)
    notes = [_assumed(options.tissue)] if slide.mpp is None and options.tissue.needs_mpp else []
    thumbnail = slide.thumbnail(downsample=downsample)
    mask = tissue_mask(thumbnail, options.tissue, mpp=(mpp[0] * downsample, mpp[1] * downsample))
    return mask, (downsample, downsample), notes


def _assumed(tissue: TissueOptions) -> str:
    sizes = [
        f"{name}={getattr(tissue, name) / ASSUMED_MPP**power:g} px"
        for name, power in (("closing_um", 1), ("min_hole_um2", 2), ("min_area_um2", 2))
        if getattr(tissue, name)
    ]
    return f"without mpp, sizes of tissue are taken in level-0 pixels of {ASSUMED_MPP} um: {', '.join(sizes)}"


def _frame_alarm(annotated: Mapping[str, np.ndarray], tissue: np.ndarray) -> list[str]:
    """Annotations in another frame than the slide's (QuPath crops MIRAX to its bounds) lie beside the tissue."""
    drawn = np.logical_or.reduce(list(annotated.values()))
    if not drawn.any() or not tissue.any():
        return []
    on_tissue = float(tissue[drawn].mean())
    if on_tissue >= 0.1:
        return []
    doubt = "are the annotations of this slide, and in level-0 pixels?"
    return [f"only {on_tissue:.0%} of the annotated area shows tissue: {doubt}"]
