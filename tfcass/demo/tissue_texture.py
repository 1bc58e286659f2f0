"""Two small pictures of real tissue -> large seamless textures of stain amounts.

normal  glands and stroma: scikit-image's immunohistochemistry picture (colon), its brown read as eosin
tumor   crowded, uneven nuclei: the H&E picture in stardist's wheel

A texture is sewn from random pieces of its picture, turned and mirrored, each cut to its neighbours along the line
where they differ
least. It is a torus: its left edge fits its right edge, its top its bottom.
Source: image quilting, Efros and Freeman, SIGGRAPH 2001, 341-346.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from scipy import ndimage

from tfcass.demo.tissue_stain import DAB, EOSIN, HAEMATOXYLIN, HAEMATOXYLIN_BESIDE_DAB, level_amounts, unstain
from tfcass.errors import MissingExtraError

_PIECE_PX = 224
_SEAM_PX = 56
_STEP_PX = _PIECE_PX - _SEAM_PX
TEXTURE_PX = (
    18 * _STEP_PX
)  # 3,024: a slide of 10,240 shows each spot about ten times, turned by its own amount per slide.
_CANDIDATES = 12  # Pieces tried for each place; more hide seams better and take longer.


@functools.lru_cache(maxsize=2)
def textures(seed: int) -> dict[str, np.ndarray]:
    """Makes both textures; the latest are kept, since the slides of one run share them (a few seconds' work).

    Returns:
      {"normal", "tumor"}, each uint8 [TEXTURE_PX, TEXTURE_PX, 2]: amounts of haematoxylin and eosin.
    Raises:
      MissingExtraError: a package that carries a picture is absent.
    """
    glands = unstain(skimage.data.immunohistochemistry(), HAEMATOXYLIN_BESIDE_DAB, DAB)
    nuclei = unstain(np.asarray(Image.open(_stardist_picture()).convert("RGB")), HAEMATOXYLIN, EOSIN)
    normal, tumor = level_amounts([glands, nuclei])
    seeds = np.random.SeedSequence([seed, 0x7E87]).spawn(2)
    return {
        label: _sew(picture, np.random.default_rng(own))
        for label, picture, own in zip(("normal", "tumor"), (normal, tumor), seeds, strict=True)
    }


def _stardist_picture() -> Path:
    # Found without importing stardist, which would load TensorFlow.
    spec = importlib.util.find_spec("stardist")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / "data" / "images" / "histo.jpg").is_file():
            return path
    raise MissingExtraError(
        "stardist, whose wheel carries a tissue picture, is not installed: pip install 'tfcass[demo]'"
    )


def _sew(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 [TEXTURE_PX, TEXTURE_PX, 2], a torus, from a picture uint8 [h, w, 2]."""
    turned = [np.rot90(side, quarter) for side in (picture, picture[:, ::-1]) for quarter in range(4)]
    size = TEXTURE_PX + _SEAM_PX
    cloth = np.zeros((size, size, 2), np.float32)
    for top in range(0, TEXTURE_PX, _STEP_PX):
        for left in range(0, TEXTURE_PX, _STEP_PX):
            place = cloth[top : top + _PIECE_PX, left : left + _PIECE_PX]
            piece = _best_piece(place, turned, rng, has_left=left > 0, has_top=top > 0)
            new = np.ones((_PIECE_PX, _PIECE_PX), np.float32)
            if left:
                new[:, :_SEAM_PX] = _cut(place[:, :_SEAM_PX], piece[:, :_SEAM_PX])
            if top:
                new[:_SEAM_PX] = np.minimum(new[:_SEAM_PX], _cut(*_sideways(place[:_SEAM_PX], piece[:_SEAM_PX])).T)
            new = _soften(new)
            place += new[..., None] * (piece - place)
    return _close(cloth).astype(np.uint8)


def _best_piece(
    place: np.ndarray, turned: list[np.ndarray], rng: np.random.Generator, *, has_left: bool, has_top: bool
) -> np.ndarray:
    """float32 [_PIECE_PX, _PIECE_PX, 2]: the candidate that differs least from what is there already."""
    best, least = turned[0], np.inf
    for _ in range(_CANDIDATES if has_left or has_top else 1):
        picture = turned[rng.integers(len(turned))]
        y, x = (int(rng.integers(side - _PIECE_PX + 1)) for side in picture.shape[:2])
        piece = picture[y : y + _PIECE_PX, x : x + _PIECE_PX]
        misfit = 0.0
        if has_left:
            misfit += float(np.square(place[::4, :_SEAM_PX:2] - piece[::4, :_SEAM_PX:2]).sum())
        if has_top:
            misfit += float(np.square(place[:_SEAM_PX:2, ::4] - piece[:_SEAM_PX:2, ::4]).sum())
        if misfit < least:
            best, least = piece, misfit
    return best.astype(np.float32)


def _sideways(*parts: np.ndarray) -> list[np.ndarray]:
    return [part.swapaxes(0, 1) for part in parts]


def _cut(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """float32 [rows, seam]: 0 where `old` stays, 1 right of the top-to-bottom line along which both differ least."""
    cost = np.square(old - new).sum(axis=2)
    rows, columns = cost.shape
    padded = np.pad(cost, ((0, 0), (1, 1)), constant_values=np.inf)  # So that the line stays inside.
    total = padded[:, 1:-1]
    least = np.empty(columns, cost.dtype)
    for row in range(1, rows):  # Three plain calls a row: half the time of all sewing goes by here.
        above = padded[row - 1]
        np.minimum(above[:-2], above[1:-1], out=least)
        np.minimum(least, above[2:], out=least)
        total[row] += least
    line = np.empty(rows, np.int64)
    line[-1] = total[-1].argmin()
    for row in range(rows - 2, -1, -1):
        first = max(0, line[row + 1] - 1)
        line[row] = first + total[row, first : line[row + 1] + 2].argmin()
    return (np.arange(columns) >= line[:, None]).astype(np.float32)


def _soften(mask: np.ndarray) -> np.ndarray:
    """Blends over a few pixels, as the microscope would, but leaves the piece's own border as it is."""
    return ndimage.uniform_filter(mask, 5, mode="nearest")


def _close(cloth: np.ndarray) -> np.ndarray:
    """Sews the surplus at the right and at the bottom over the left and the top, which makes a torus."""
    cloth = _close_left(cloth)
    return _close_left(cloth.swapaxes(0, 1)).swapaxes(0, 1)


def _close_left(cloth: np.ndarray) -> np.ndarray:
    surplus, start = cloth[:, TEXTURE_PX:], cloth[:, :_SEAM_PX]
    stays = _soften(_cut(surplus, start))[..., None]
    closed = cloth[:, :TEXTURE_PX].copy()
    closed[:, :_SEAM_PX] = surplus * (1 - stays) + start * stays
    return closed
