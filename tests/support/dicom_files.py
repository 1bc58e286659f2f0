"""DICOM whole-slide images for tests: a folder with one file per level, which OpenSlide opens as vendor "dicom"."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, VLWholeSlideMicroscopyImageStorage, generate_uid

from tests.support.slide_files import halve

_TILE_PX = 256


def write_dicom(
    folder: Path, rgb: np.ndarray, *, mpp: tuple[float, float] | None = (0.25, 0.25), levels: int = 2, seed: str = "1"
) -> Path:
    """Writes a slide without compression; opening any file of the folder opens all its levels.

    Args:
      folder: Made.
      rgb: uint8 [height, width, 3].
      mpp: Micrometres per pixel (x, y) of level 0; None leaves it out.
      levels: Each half the one before.
      seed: Of the series' UID, by which files find each other and the slide is known.
    Returns:
      The file of level 0.
    """
    folder.mkdir(parents=True)
    series = generate_uid(entropy_srcs=[seed])
    for level in range(levels):
        scaled = None if mpp is None else (mpp[0] * 2**level, mpp[1] * 2**level)
        _dataset(rgb, scaled, level, series).save_as(folder / f"level{level}.dcm", enforce_file_format=True)
        rgb = halve(rgb)
    return folder / "level0.dcm"


def _dataset(rgb: np.ndarray, mpp: tuple[float, float] | None, level: int, series: str) -> Dataset:
    height, width = rgb.shape[:2]
    frames = _frames(rgb)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    data.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(level)])
    data.SeriesInstanceUID = series
    data.StudyInstanceUID = generate_uid(entropy_srcs=[series, "study"])
    data.FrameOfReferenceUID = generate_uid(entropy_srcs=[series, "frame"])
    data.Modality = "SM"
    data.ImageType = (
        ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"] if not level else ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    )
    data.DimensionOrganizationType = "TILED_FULL"
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.Rows = data.Columns = _TILE_PX
    data.NumberOfFrames = len(frames)
    data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows, data.TotalPixelMatrixFocalPlanes = width, height, 1
    optical_path = Dataset()
    optical_path.OpticalPathIdentifier, optical_path.ObjectiveLensPower = "1", "40"
    data.OpticalPathSequence = Sequence([optical_path])
    data.NumberOfOpticalPaths = 1
    if mpp is not None:
        measures = Dataset()
        measures.PixelSpacing = [f"{mpp[1] / 1000:.8g}", f"{mpp[0] / 1000:.8g}"]  # Row spacing first, in mm.
        shared = Dataset()
        shared.PixelMeasuresSequence = Sequence([measures])
        data.SharedFunctionalGroupsSequence = Sequence([shared])
    data.PixelData = frames.tobytes()
    return data


def _frames(rgb: np.ndarray) -> np.ndarray:
    """uint8 [n, side, side, 3], row by row, filled up with white."""
    height, width = rgb.shape[:2]
    padded = np.pad(rgb, ((0, -height % _TILE_PX), (0, -width % _TILE_PX), (0, 0)), constant_values=255)
    rows, columns = padded.shape[0] // _TILE_PX, padded.shape[1] // _TILE_PX
    return padded.reshape(rows, _TILE_PX, columns, _TILE_PX, 3).swapaxes(1, 2).reshape(-1, _TILE_PX, _TILE_PX, 3)
