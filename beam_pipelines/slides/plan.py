"""A slide, its regions and options -> masks, patch locations and counts: where the parts of this package meet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from beam_pipelines.slides.annotations import Region, clip_to_slide
from beam_pipelines.slides.encode import encode
from beam_pipelines.slides.masks import mask_fraction, rasterise
from beam_pipelines.slides.open import Slide, open_slide
from beam_pipelines.slides.quality import rejection
from beam_pipelines.slides.tiles import PatchLocation, Rejections, SlideRef, TilingOptions, plan_patches
from beam_pipelines.slides.tissue import tissue_mask


@dataclasses.dataclass(frozen=True)
class SlidePlan:
    """What will be cut from one slide, and what will not.

    Attributes:
      ref: The slide.
      locations: The patches, row by row.
      rejected: Reason -> number of grid positions left out. With the locations they make up the whole grid.
      annotated_masks: {"normal", "tumor"} -> bool [height, width] at the mask level.
      tissue: bool [height, width] at the mask level.
      notes: What a user may want to know of this slide: no mpp, regions outside it, annotations mostly off the tissue.
    """

    ref: SlideRef
    locations: tuple[PatchLocation, ...]
    rejected: Mapping[str, int]
    annotated_masks: Mapping[str, np.ndarray]
    tissue: np.ndarray
    notes: tuple[str, ...]
    geometry: object = None
    grid: object = None
    rejections: object = None


@dataclasses.dataclass(frozen=True)
class CutPatch:
    data: bytes | None
    quality: dict
    rejected: object


def cut_and_judge(slide, location, options, encoding="jpeg", quality=90):
    rgb = slide.read_patch(location.x_l0, location.y_l0, options.patch_size, options.patch_downsample)
    white = float((rgb.min(axis=2) > 230).mean())
    return CutPatch(encode(rgb, encoding, quality), {"white": white}, rejection("white", white, options.quality))


def plan_slide(ref: SlideRef, regions: Iterable[Region], options: TilingOptions) -> SlidePlan:
    """Opens a slide, draws its masks and plans its patches: either the whole slide is planned or none of it.

    Args:
      ref: The slide.
      regions: Of this slide, in level-0 pixels; may be empty, which plans no patch.
      options: How to cut.
    Raises:
      SlideError: the slide cannot be opened or its thumbnail not be read.
    """
    with open_slide(ref.path) as slide:
        inside, problems = clip_to_slide(regions, slide.width_l0, slide.height_l0)
        annotated = rasterise(inside, slide.width_l0, slide.height_l0, options.mask_level)
        tissue = tissue_mask(slide.thumbnail(downsample=2**options.mask_level))
        levels = (options.mask_level, options.decision_level)
        locations, rejected = plan_patches(
            ref,
            slide_name=slide.name,
            content_id=slide.content_id,
            mpp_l0=None if slide.mpp is None else (slide.mpp[0] + slide.mpp[1]) / 2,
            annotated={label: mask_fraction(mask, *levels) for label, mask in annotated.items()},
            tissue=mask_fraction(tissue, *levels),
            options=options,
        )
        notes = (*slide.notes, *problems, *_frame_alarm(annotated, tissue))
        import types

        geometry = types.SimpleNamespace(
            width_l0=slide.width_l0,
            height_l0=slide.height_l0,
            vendor=slide.vendor,
            content_id=slide.content_id,
            mpp=slide.mpp,
            mpp_source="slide" if slide.mpp else None,
            level_downsamples=slide.level_downsamples,
        )
        grid = types.SimpleNamespace(width_l0=float(options.footprint_l0), height_l0=float(options.footprint_l0))
        fr = mask_fraction(tissue, *levels)
        kept = {(l.x_l0, l.y_l0) for l in locations}
        rest = [
            (x * options.footprint_l0, y * options.footprint_l0, fr[y, x])
            for y in range(fr.shape[0])
            for x in range(fr.shape[1])
            if (x * options.footprint_l0, y * options.footprint_l0) not in kept
        ]
        rej = Rejections(
            np.array([r[0] for r in rest], np.int64),
            np.array([r[1] for r in rest], np.int64),
            ["too little tissue"] * len(rest),
            ["tissue"] * len(rest),
            np.array([r[2] for r in rest], np.float32),
            np.full(len(rest), options.min_tissue, np.float32),
        )
    return SlidePlan(ref, tuple(locations), rejected, annotated, tissue, notes, geometry, grid, rej)


def cut_patch(
    slide: Slide, location: PatchLocation, options: TilingOptions, encoding: str = "jpeg", quality: int = 90
) -> bytes:
    """Reads and encodes one planned patch.

    Raises:
      SlideError: these pixels of the slide are damaged; other patches can still be cut.
      OptionError: unknown encoding or quality.
    """
    rgb = slide.read_patch(location.x_l0, location.y_l0, options.patch_size, options.patch_downsample)
    return encode(rgb, encoding, quality)


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
