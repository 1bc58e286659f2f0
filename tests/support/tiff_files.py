"""TIFF files of many kinds, made with tifffile: for tests/test_images.py and, by `python -m`, the fuzzer's corpus."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

# Name -> arguments of tifffile.imwrite. All of these give back the pixels as they were.
LOSSLESS = {
    "none": {},
    "lzw": {"compression": "lzw"},
    "lzw_predicted": {"compression": "lzw", "predictor": True},
    "deflate": {"compression": "zlib"},
    "deflate_predicted": {"compression": "zlib", "predictor": True},
    "old_deflate": {"compression": "deflate"},
    "packbits": {"compression": "packbits"},
    "zstd": {"compression": "zstd"},
    "lzma": {"compression": "lzma"},
}
LAYOUTS = {
    "one_strip": {},
    "strips": {"rowsperstrip": 5},
    "tiles": {"tile": (16, 32)},
}
BYTE_ORDERS = {"little": "<", "big": ">"}
# Name -> samples a pixel and arguments.
COLORS = {
    "grey": (1, {"photometric": "minisblack"}),
    "grey_alpha": (2, {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]}),
    "rgb": (3, {"photometric": "rgb"}),
    "rgba": (4, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
}


def picture(height: int, width: int, samples: int, dtype: type = np.uint8, seed: int = 1) -> np.ndarray:
    """[height, width] for one sample, else [height, width, samples]: smooth with noise, over the whole range."""
    rng = np.random.default_rng(seed)
    y, x, s = np.mgrid[0:height, 0:width, 0:samples]
    smooth = 0.5 + 0.45 * np.sin(x / 7 + s) * np.cos(y / 5 - s)
    pixels = np.clip(smooth + rng.normal(0, 0.03, smooth.shape), 0, 1) * np.iinfo(dtype).max
    pixels = pixels.astype(dtype)
    pixels[0, 0], pixels[-1, -1] = 0, np.iinfo(dtype).max
    return pixels[..., 0] if samples == 1 else pixels


def tiff(*pages: np.ndarray, byteorder: str = "<", bigtiff: bool = False, **arguments: object) -> bytes:
    """A TIFF file with these pages; `arguments` are tifffile's."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder=byteorder, bigtiff=bigtiff) as writer:
        for page in pages:
            writer.write(page, metadata=None, software=False, contiguous=False, **arguments)
    return buffer.getvalue()


def in_planes(pixels: np.ndarray) -> np.ndarray:
    """[h, w, s] -> [s, h, w], as tifffile takes samples in planes."""
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def jpeg_tiff(pixels: np.ndarray, **arguments: object) -> bytes:
    return tiff(pixels, compression="jpeg", compressionargs={"level": 95}, **arguments)


def webp_tiff(pixels: np.ndarray) -> bytes:
    """Lossless WebP in one strip: tifffile reads this compression, and writes what is handed to it encoded."""
    encoded = imagecodecs.webp_encode(pixels, lossless=True)
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        iter([encoded]),
        shape=pixels.shape,
        dtype=pixels.dtype,
        photometric="rgb",
        compression="webp",
        metadata=None,
        software=False,
    )
    return buffer.getvalue()


def corpus() -> Iterator[tuple[str, bytes]]:
    """Small files of every kind that the decoder takes, and some that it refuses."""
    for color, (samples, how) in COLORS.items():
        for dtype in (np.uint8, np.uint16):
            pixels = picture(11, 13, samples, dtype)
            for compression, packed in LOSSLESS.items():
                yield f"{color}-{dtype.__name__}-{compression}", tiff(pixels, **how, **packed)
            for layout, cut in LAYOUTS.items():
                yield f"{color}-{dtype.__name__}-{layout}-big", tiff(pixels, byteorder=">", **how, **cut)
    rgb = picture(20, 37, 3)
    yield "planes", tiff(in_planes(rgb), photometric="rgb", planarconfig="separate", rowsperstrip=7)
    yield "planes-tiles", tiff(in_planes(rgb), photometric="rgb", planarconfig="separate", tile=(16, 16))
    yield "jpeg-rgb", jpeg_tiff(rgb, photometric="rgb")
    yield "jpeg-tables", jpeg_tiff(rgb, photometric="ycbcr", tile=(16, 16))
    yield "jpeg-subsampled", jpeg_tiff(rgb, photometric="ycbcr", subsampling=(2, 2), rowsperstrip=16)
    yield "jpeg-grey", jpeg_tiff(rgb[..., 0], photometric="minisblack")
    yield "webp", webp_tiff(rgb)
    yield "inverted", tiff(rgb[..., 0], photometric="miniswhite")
    colormap = np.arange(3 * 256, dtype=np.uint16).reshape(3, 256) * 85
    yield "palette", tiff(rgb[..., 0], photometric="palette", colormap=colormap)
    yield "bigtiff", tiff(rgb, bigtiff=True, photometric="rgb", compression="lzw")
    yield "pages", tiff(rgb[..., 0], rgb[..., 1], rgb[..., 2])
    yield "float", tiff(rgb[..., 0].astype(np.float32))
    yield "bilevel", tiff(rgb[..., 0] > 128)
    yield "cmyk", tiff(picture(9, 9, 4), photometric="separated")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = dict(corpus())
    for name, contents in files.items():
        (folder / f"{name}.tif").write_bytes(contents)
    print(f"{len(files)} files, {sum(map(len, files.values()))} bytes in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
