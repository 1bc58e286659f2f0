"""Splits on disk: manifest.json, and one Parquet file per split named by its content.

A reader sees the old splits or the new ones: data files never change under a manifest, and the manifest is replaced in
one step.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tfcass._files import replace_file
from tfcass.errors import KeyFormatError, SplitError
from tfcass.splits.naming import listed
from tfcass.splits.report import find_leaks
from tfcass.splits.rows import key_order
from tfcass.splits.splits import Recipe, Splits

MANIFEST = "manifest.json"
_FORMAT = "tfcass splits 1"


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
            "recipe": dataclasses.asdict(splits.recipe),
            "splits": files,
            "report": splits.report().as_dict(),
            "versions": {package: _version(package) for package in ("tfcass", "numpy", "pyarrow")},
        }
        replace_file(folder / MANIFEST, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())
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
        recipe = dict(manifest["recipe"])
        recipe["group_by"] = tuple(recipe["group_by"])
        recipe["bags"] = {name: tuple(groups) for name, groups in recipe["bags"].items()}
        recipe = Recipe(**recipe)
        entries = {name: (entry["file"], entry["sha256"], entry["rows"]) for name, entry in manifest["splits"].items()}
        digest = manifest["digest"]
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, f"{MANIFEST} lacks or misstates {error}") from error
    splits = Splits({name: _read_table(folder, *entry) for name, entry in entries.items()}, recipe)
    try:
        if splits.digest != digest:
            raise _damaged(folder, "the keys are not those that the manifest was written for")
    except KeyFormatError as error:
        raise _damaged(folder, str(error)) from error
    _refuse_shared(splits, folder)
    return splits


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
            f"{path} has format {found!r}; this tfcass reads {_FORMAT!r}: save the splits again with this version"
        )
    return manifest


def _write_table(table: pa.Table, folder: Path, name: str) -> dict[str, object]:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data = sink.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    file = f"{name}-{sha256[:12]}.parquet"
    replace_file(folder / file, data)
    return {"file": file, "rows": table.num_rows, "sha256": sha256}


def _read_table(folder: Path, file: str, sha256: str, rows: int) -> pa.Table:
    if Path(file).name != file:
        raise _damaged(folder, f"{MANIFEST} names the file {file!r}, outside the folder")
    try:
        data = (folder / file).read_bytes()
    except FileNotFoundError:
        raise _damaged(folder, f"{file} is absent") from None
    except OSError as error:
        raise _damaged(folder, f"{file} cannot be read: {error.strerror}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise _damaged(folder, f"{file} ({len(data)} bytes) has sha256 {found[:12]}..., expected {sha256[:12]}...")
    table = pq.read_table(pa.BufferReader(data))
    if table.num_rows != rows:
        raise _damaged(folder, f"{file} has {table.num_rows} rows, expected {rows}")
    return table


def _refuse_shared(splits: Splits, folder: Path) -> None:
    keys = np.concatenate([splits.keys(name) for name in splits.names])
    keys = keys[key_order(keys)]
    shared = int((keys[1:] == keys[:-1]).all(axis=1).sum())
    if shared:
        raise _damaged(folder, f"{shared} keys are in two splits")
    leaks: Mapping[str, tuple[str, ...]] = find_leaks(
        {name: splits.table(name) for name in splits.names}, splits.recipe.group_by
    )
    for group, names in leaks.items():
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
