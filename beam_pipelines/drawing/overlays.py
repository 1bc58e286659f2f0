"""Draws on slide thumbnails: kept patches, annotation outlines, predicted probabilities. Arrays in, arrays out."""

import numpy as np
from PIL import Image, ImageDraw

from beam_pipelines.drawing.palette import CLASS_COLOURS, INK, probability_rgb, rgb
from beam_pipelines.drawing.views import SlideView
from tfcass.prediction.heatmap import fill_cells

_SUPERSAMPLE = 2  # Outlines are drawn larger and scaled down: ImageDraw has no smooth lines.


def draw_patches(view: SlideView, *, fill_alpha: float = 0.2, edge_alpha: float = 0.75) -> np.ndarray:
    """The thumbnail with each kept patch as a translucent cell in its class's colour, and the annotated outlines.

    Returns:
      uint8 [height, width, 3], the thumbnail's size.
    """
    class_rgb = np.array([rgb(colour) for colour in CLASS_COLOURS])
    image = _fill_cells(view, view.thumbnail, class_rgb[view.labels], fill_alpha, edge_alpha)
    return _stroke_outlines(image, view)


def draw_annotations(view: SlideView) -> np.ndarray:
    """The thumbnail with the outlines of its annotated regions and nothing else."""
    return _stroke_outlines(view.thumbnail, view)


def draw_probabilities(view: SlideView, *, fill_alpha: float = 0.86) -> np.ndarray:
    """The thumbnail, paled, with each patch in the colour of its probability, and the true tumour outline on top.

    Raises:
      ValueError: the view holds no probabilities.
    """
    if view.probabilities is None:
        raise ValueError(f"slide {view.name!r} has no predictions to draw")
    paled = view.thumbnail * 0.35 + 255 * 0.65
    image = _fill_cells(view, paled, probability_rgb(view.probabilities), fill_alpha, fill_alpha)
    return _stroke_outlines(image, view, labels=(1,), colour=INK)


def _fill_cells(
    view: SlideView, base: np.ndarray, colours: np.ndarray, fill_alpha: float, edge_alpha: float
) -> np.ndarray:
    corners, side = view.corners_l0 / view.downsample, view.patch_side_l0 / view.downsample
    return fill_cells(base, corners, side, colours, fill_alpha, edge_alpha)


def _stroke_outlines(
    image: np.ndarray, view: SlideView, *, labels: tuple[int, ...] = (0, 1), colour: str | None = None
) -> np.ndarray:
    """Draws closed outlines, smooth."""
    height, width = image.shape[:2]
    # On a layer of its own: the photograph under it is not scaled up and down.
    layer = Image.new("RGBA", (width * _SUPERSAMPLE, height * _SUPERSAMPLE), (255, 255, 255, 0))
    draw = ImageDraw.Draw(layer)
    wide = max(2, round(width / 260)) * _SUPERSAMPLE
    for outline in sorted(view.outlines, key=lambda item: item.label):  # Tumour last: it lies inside normal.
        if outline.label not in labels:
            continue
        points = [(float(x), float(y)) for x, y in outline.vertices_l0 / view.downsample * _SUPERSAMPLE]
        points += points[:2]  # Two: the joint at the start is rounded as well.
        if outline.label == 1:  # White beside it, so that it shows on dark and pale tissue alike.
            draw.line(points, fill="#ffffff", width=wide + 2 * _SUPERSAMPLE, joint="curve")
        draw.line(points, fill=colour or CLASS_COLOURS[outline.label], width=wide, joint="curve")
    layer = layer.resize((width, height), Image.Resampling.BOX)
    return np.asarray(Image.alpha_composite(Image.fromarray(image).convert("RGBA"), layer).convert("RGB"))
