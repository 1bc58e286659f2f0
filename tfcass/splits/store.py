"""Splits on disk: manifest.json, and one Parquet file per split named by its content.

A reader sees the old splits or the new ones: data files never change under a manifest, and the manifest is replaced in
one step.
"""

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tfcass._files import new_file, replace_file
from tfcass.errors import KeyFormatError, SplitError
from tfcass.splits.columns import key_order, take_keys
from tfcass.splits.naming import listed
from tfcass.splits.recipe import Recipe
from tfcass.splits.report import find_leaks
from tfcass.splits.splits import Splits

MANIFEST = "manifest.json"
_FORMAT = "tfcass splits 2"
_ROW_GROUP = 1 << 20
_READ = 1 << 24


def save(splits: Splits, folder: str | os.PathLike[str]) -> None:
    """See Splits.save."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = _files_of(folder)
        files = {name: _write_table(splits.table(name), folder, name) for name in splits.names}
        manifest = {
            "format": _FORMAT,
            "digest": splits.digest,
            "recipe": splits.recipe.as_dict(),
            "splits": files,
            "report": splits.report().as_dict(),
            "versions": {package: _version(package) for package in ("tfcass", "numpy", "pyarrow")},
        }
        replace_file(folder / MANIFEST, (json.dumps(seal(manifest), indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise SplitError(
            f"cannot save splits in {folder}: {error.strerror or error}; free some space or choose another folder"
        ) from error
    for stale in before - {entry["file"] for entry in files.values()}:
        (folder / stale).unlink(missing_ok=True)


def load(folder: str | os.PathLike[str]) -> Splits:
    """See Splits.load."""
    folder = Path(folder)
    manifest = _read_manifest(folder)
    try:
        recipe = Recipe.from_dict(manifest["recipe"])
        entries = {name: (entry["file"], entry["sha256"], entry["rows"]) for name, entry in manifest["splits"].items()}
        digest = manifest["digest"]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(folder, f"{MANIFEST} lacks or misstates {error}") from error
    if list(recipe.ratios) != list(entries):
        raise _damaged(folder, f"{MANIFEST} has ratios of other splits than files")
    splits = Splits({name: _read_table(folder, *entry) for name, entry in entries.items()}, recipe)
    labels = [recipe.label] if isinstance(recipe.label, str) else recipe.label
    wanted = [recipe.key, *labels, *recipe.labelling.columns, *recipe.group_by, *recipe.cover, *recipe.stratify]
    for name in splits.names:
        absent = set(wanted) - set(splits.table(name).column_names)
        if absent:
            raise _damaged(folder, f"split {name!r} lacks column {listed(sorted(absent))}")
    try:
        if splits.digest != digest:
            raise _damaged(folder, "the keys are not those that the manifest was written for")
    except KeyFormatError as error:
        raise _damaged(folder, str(error)) from error
    _refuse_shared(splits, folder)
    return splits


def seal(manifest: Mapping[str, object]) -> dict[str, object]:
    """With the digest of all of its other content, which load() checks."""
    content = {name: of for name, of in manifest.items() if name != "sha256"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return {**content, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def _read_manifest(folder: Path) -> dict[str, object]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        there = (
            listed(sorted(entry.name for entry in folder.iterdir())) or "nothing"
            if folder.is_dir()
            else "no such folder"
        )
        raise SplitError(
            f"no splits in {folder}: {MANIFEST} is absent (found: {there}); "
            f"make them with tfcass.split(...).save({str(folder)!r})"
        ) from None
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{MANIFEST} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise SplitError(
            f"{path} has format {found!r}; this tfcass reads {_FORMAT!r}: make the splits again with tfcass.split, or "
            "read them with the version of tfcass that made them"
        )
    if seal(manifest)["sha256"] != manifest.get("sha256"):
        raise _damaged(folder, f"{MANIFEST} is not as it was written")
    return manifest


def _write_table(table: pa.Table, folder: Path, name: str) -> dict[str, object]:
    with new_file(folder, name) as new:
        tee = _Hashed(new.file)
        pq.write_table(table, pa.PythonFile(tee, "w"), compression="zstd", row_group_size=_ROW_GROUP)
        sha256 = tee.sha256.hexdigest()
        file = f"{name}-{sha256[:12]}.parquet"
        new.keep(file)
    return {"file": file, "rows": table.num_rows, "sha256": sha256}


class _Hashed:
    """A file to write that hashes what goes through it."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        pass  # It is named first.


def _read_table(folder: Path, file: str, sha256: str, rows: int) -> pa.Table:
    if Path(file).name != file:
        raise _damaged(folder, f"{MANIFEST} names the file {file!r}, outside the folder")
    found, size = hashlib.sha256(), 0
    try:
        with open(folder / file, "rb") as stream:
            while data := stream.read(_READ):
                found.update(data)
                size += len(data)
            if found.hexdigest() != sha256:
                raise _damaged(
                    folder, f"{file} ({size} bytes) has sha256 {found.hexdigest()[:12]}..., expected {sha256[:12]}..."
                )
            stream.seek(0)
            table = pq.read_table(stream)
    except FileNotFoundError:
        raise _damaged(folder, f"{file} is absent") from None
    except pa.ArrowException as error:
        raise _damaged(folder, f"{file} is no Parquet file: {error}") from error
    except OSError as error:
        raise _damaged(folder, f"{file} cannot be read: {error.strerror or error}") from error
    if table.num_rows != rows:
        raise _damaged(folder, f"{file} has {table.num_rows} rows, expected {rows}")
    return table


def _refuse_shared(splits: Splits, folder: Path) -> None:
    keys = np.concatenate([splits.keys(name) for name in splits.names])
    keys = take_keys(keys, key_order(keys))
    shared = int((keys[1:] == keys[:-1]).all(axis=1).sum())
    if shared:
        raise _damaged(folder, f"{shared} keys are in two splits")
    for group, names in find_leaks(splits).items():
        raise _damaged(
            folder, f"group {group!r} of {listed(splits.recipe.group_by)} is in several splits ({listed(names)})"
        )


def _files_of(folder: Path) -> set[str]:
    """The data files of the splits that `folder` holds now, if any."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        return {Path(entry["file"]).name for entry in manifest["splits"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def _damaged(folder: Path, what: str) -> SplitError:
    return SplitError(
        f"the splits in {folder} are damaged: {what}; make them again with tfcass.split, or restore a copy"
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
