"""Draws on slide thumbnails: kept patches, annotation outlines, predicted probabilities. Arrays in, arrays out."""

from collections.abc import Mapping, Sequence

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


def draw_masks(thumbnail: np.ndarray, masks: Mapping[str, np.ndarray], colours: Mapping[str, str]) -> np.ndarray:
    """The thumbnail tinted where masks are set, later ones over earlier ones.

    Args:
      thumbnail: uint8 [height, width, 3].
      masks: Name -> bool [any height, any width] of the same slide.
      colours: Name -> "#RRGGBB".
    Returns:
      uint8 [height, width, 3].
    """
    canvas = thumbnail.astype(np.float32)
    height, width = canvas.shape[:2]
    for name, mask in masks.items():
        # Shares, not single pixels: a thin region still shows on a small picture.
        small = Image.fromarray(mask.astype(np.uint8) * 255).resize((width, height), Image.Resampling.BOX)
        alpha = np.asarray(small, np.float32)[..., None] / 255 * 0.5
        canvas += alpha * (np.array(rgb(colours[name]), np.float32) - canvas)
    return canvas.round().clip(0, 255).astype(np.uint8)


def draw_grid(
    thumbnail: np.ndarray,
    corners: np.ndarray,
    side: tuple[float, float],
    colours: Sequence[str],
    *,
    paled: float = 0.45,
) -> np.ndarray:
    """The thumbnail, paled, with a filled cell for each place of the grid.

    Args:
      thumbnail: uint8 [height, width, 3].
      corners: float [n, 2], x and y of top-left corners in thumbnail pixels.
      side: Width and height of a cell in thumbnail pixels.
      colours: "#RRGGBB" of each cell.
      paled: How far the thumbnail goes towards white, in [0, 1].
    Returns:
      uint8 [height, width, 3].
    """
    canvas = thumbnail * (1 - paled) + np.float32(255 * paled)
    known = {colour: np.array(rgb(colour), np.float32) for colour in set(colours)}
    gap = 1 if min(side) >= 4 else 0  # So that neighbours can be told apart.
    for (y0, y1, x0, x1), colour in zip(_boxes(corners, side, canvas.shape), colours, strict=True):
        cell = canvas[y0 : max(y1 - gap, y0 + 1), x0 : max(x1 - gap, x0 + 1)]
        cell += 0.6 * (known[colour] - cell)
    return canvas.round().clip(0, 255).astype(np.uint8)


def draw_mosaic(
    thumbnail: np.ndarray,
    corners: np.ndarray,
    side: tuple[float, float],
    pictures: Sequence[np.ndarray],
    colours: Sequence[str],
) -> np.ndarray:
    """The thumbnail, nearly white, with patches put back in their places and framed: a shifted or foreign one shows.

    Args:
      thumbnail, corners, side: As for `draw_grid`.
      pictures: uint8 [any height, any width, 3], one a corner.
      colours: "#RRGGBB" of each frame.
    """
    canvas = (thumbnail * 0.2 + 255 * 0.8).astype(np.uint8)
    for (y0, y1, x0, x1), picture, colour in zip(_boxes(corners, side, canvas.shape), pictures, colours, strict=True):
        if y1 <= y0 or x1 <= x0:
            continue
        # Patches reach past the slide's edge; the picture shows what lies inside.
        whole = max(1, round(side[0])), max(1, round(side[1]))
        small = np.asarray(Image.fromarray(picture).resize(whole, Image.Resampling.BOX))
        cell = canvas[y0:y1, x0:x1]
        part = small[: cell.shape[0], : cell.shape[1]]
        cell[: part.shape[0], : part.shape[1]] = part
        if min(side) >= 6:
            cell[0, :] = cell[:, 0] = rgb(colour)
    return canvas


def _boxes(corners: np.ndarray, side: tuple[float, float], shape: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Top, bottom, left, right of each cell, at least a pixel, inside the picture."""
    begin = np.round(corners).astype(int)
    end = np.maximum(np.round(corners + np.array(side)).astype(int), begin + 1)
    (x0, y0), (x1, y1) = begin.reshape(-1, 2).T, end.reshape(-1, 2).T
    height, width = shape[:2]
    limits = (np.clip(v, 0, most) for v, most in ((y0, height), (y1, height), (x0, width), (x1, width)))
    return list(zip(*(v.tolist() for v in limits), strict=True))


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
