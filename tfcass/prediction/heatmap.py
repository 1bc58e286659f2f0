"""Probabilities of patches as a picture. Arrays in, arrays out."""

import numpy as np

from tfcass.errors import OptionError
from tfcass.prediction.slide_rows import SlidePatches

# Colour-blind-safe and diverging: 0 blue, 0.5 a pale grey, 1 vermilion (after Okabe and Ito, jfly.uni-koeln.de/color).
PROBABILITY_COLOURS = ("#0b4f8a", "#5fa5d6", "#f2efe9", "#f0995a", "#b84300")
_STOPS = (0.0, 0.25, 0.5, 0.75, 1.0)

_INK = (23, 33, 46)
_LEGEND_PX = 46  # Height of the strip below the picture.


def draw_heatmap(
    patches: SlidePatches,
    class_name: str,
    *,
    thumbnail: np.ndarray | None = None,
    downsample: float | None = None,
    origin_l0: tuple[float, float] = (0, 0),
    max_size_px: int = 1200,
    fill_alpha: float = 0.6,
) -> np.ndarray:
    """Each patch in the colour of its probability, over the paled thumbnail, with a legend below.

    Args:
      patches: What to draw.
      class_name: The class whose probability is drawn.
      thumbnail: uint8 [height, width, 3], the slide or a part of it. None: white, as large as the patches reach.
      downsample: Level-0 pixels per pixel of the thumbnail; needed with it, and only then.
      origin_l0: Level-0 place of the thumbnail's top-left corner.
      max_size_px: Longest side of the picture without a thumbnail.
      fill_alpha: How much of the thumbnail a patch hides, in [0, 1]; its edge hides a little more.
    Returns:
      uint8 [height + legend, width, 3].
    Raises:
      OptionError: No such class; a thumbnail without downsample or the other way round.
    """
    if (thumbnail is None) != (downsample is None):
        raise OptionError("thumbnail and downsample go together: give both or none")
    probability = patches.probabilities[:, patches.index_of(class_name)]
    if thumbnail is None:
        # Half a patch of margin, so that the outermost ones are seen to be it.
        low = patches.corners_l0.min(axis=0) - patches.side_l0 / 2
        size = patches.corners_l0.max(axis=0) + patches.side_l0 * 1.5 - low
        # Whole pixels a patch: a grid looks even.
        downsample = patches.side_l0 / max(1, int(patches.side_l0 * max_size_px / size.max()))
        width, height = np.ceil(size / downsample).astype(int)
        thumbnail, origin_l0 = np.full((height, width, 3), 255, np.uint8), tuple(low)
    paled = thumbnail * 0.45 + 255 * 0.55
    corners = (patches.corners_l0 - np.asarray(origin_l0)) / downsample
    picture = fill_cells(
        paled,
        corners,
        patches.side_l0 / downsample,
        probability_rgb(probability),
        fill_alpha,
        min(1.0, fill_alpha + 0.2),
    )
    return np.concatenate([picture, _legend(picture.shape[1], f"probability of {class_name}, {patches.slide}")])


def fill_cells(
    base: np.ndarray, corners: np.ndarray, side: float, colours: np.ndarray, fill_alpha: float, edge_alpha: float
) -> np.ndarray:
    """Blends one square per patch into a picture; the edge, of a pixel or two, makes the grid show.

    Args:
      base: [height, width, 3], 0 to 255.
      corners: float [n, 2], x and y in pixels of `base`; squares may reach past it.
      side: Of a square, in pixels.
      colours: [n, 3], 0 to 255.
      fill_alpha, edge_alpha: How much a square's inner part and its edge hide, in [0, 1].
    Returns:
      uint8 [height, width, 3].
    """
    canvas = base.astype(np.float32)
    height, width = canvas.shape[:2]
    edge = max(1, round(side / 24))
    begin, end = np.round(corners).astype(int), np.round(corners + side).astype(int)
    end = np.maximum(end, begin + 1)  # Where a patch is less than a pixel, it is one.
    for (x0, y0), (x1, y1), colour in zip(begin, end, colours, strict=True):
        cell = canvas[max(y0, 0) : max(0, min(y1, height)), max(x0, 0) : max(0, min(x1, width))]
        alpha = np.full((*cell.shape[:2], 1), edge_alpha, np.float32)
        alpha[edge:-edge, edge:-edge] = fill_alpha
        cell += alpha * (colour - cell)
    return canvas.round().clip(0, 255).astype(np.uint8)


def probability_rgb(probability: np.ndarray) -> np.ndarray:
    """float [n] in [0, 1] -> uint8 [n, 3], RGB."""
    stops = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in PROBABILITY_COLOURS], float)
    channels = [np.interp(probability, _STOPS, stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _legend(width: int, title: str) -> np.ndarray:
    """A strip with the scale of colours and what it means."""
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (width, _LEGEND_PX), "white")
    bar = min(200, width // 3)
    ramp = np.broadcast_to(probability_rgb(np.linspace(0, 1, max(2, bar))), (12, max(2, bar), 3))
    strip.paste(Image.fromarray(np.ascontiguousarray(ramp)), (8, 6))
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(12)
    draw.text((8, 22), "0", _INK, font)
    draw.text((8 + bar, 22), "1", _INK, font, anchor="ra")
    draw.text((20 + bar, 5), title, _INK, font)
    return np.asarray(strip)
