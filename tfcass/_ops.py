"""Finds the op library, checks that it fits the TensorFlow at hand, loads it once.

Importing this module imports neither TensorFlow nor the library: `library()` does, at the first use of an op.
"""

import ctypes
import functools
import glob
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import types

from tfcass.errors import OpLibraryError

LIBRARY = "_tfcass_ops.so"
BUILD_INFO = "_tfcass_build.json"  # {"tensorflow": version that the library was built for}

# Distributions that provide the `tensorflow` package.
_DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-intel", "tensorflow-aarch64")
_HOW_TO_BUILD = (
    "build it for the installed TensorFlow with `make setup` in a checkout, or with `pip install --no-build-isolation "
    "--no-cache-dir --force-reinstall --no-deps tfcass`"
)


def check_versions() -> None:
    """Compares the TensorFlow that is installed with the one the library was built for, importing neither.

    Cheap enough for `import tfcass`. An absent library or TensorFlow is no error here: much of tfcass needs neither.

    Raises:
      OpLibraryError: Both are there and their minor versions differ.
    """
    folder = find_library()
    installed = _installed_tensorflow()
    if folder is not None and installed is not None:
        _compare(folder, installed)


@functools.cache
def library() -> types.ModuleType:
    """The op library's Python wrappers, loaded at the first call.

    Raises:
      OpLibraryError: The library is absent, or was built for another TensorFlow, or cannot be loaded.
    """
    return _load()[0]


def put_secret(name: str, value: str) -> None:
    """Hands a secret to this process's registry in the op library, where `process:<name>` refers to it.

    It stays in memory: it enters no graph, checkpoint, log or error.
    """
    _native().tfcass_put_secret(name.encode(), value.encode())


def metrics_json() -> str:
    """The engine's counters as JSON text."""
    return _native().tfcass_metrics_json().decode()


def _native() -> ctypes.CDLL:
    return _load()[1]


@functools.cache
def _load() -> tuple[types.ModuleType, ctypes.CDLL]:
    folder = find_library()
    if folder is None:
        places = " or ".join(str(place) for place in _places())
        raise OpLibraryError(f"{LIBRARY} is not in {places}; {_HOW_TO_BUILD}")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise OpLibraryError(f"tfcass's op needs TensorFlow, which cannot be imported ({error}); install it") from error
    _compare(folder, tf.__version__)
    path = str(folder / LIBRARY)
    try:
        wrappers = tf.load_op_library(path)
    except tf.errors.NotFoundError as error:  # An undefined symbol: another build of the same minor, or a damaged file.
        raise OpLibraryError(
            f"{path} does not load into TensorFlow {tf.__version__}: {error}; {_HOW_TO_BUILD}"
        ) from error
    native = ctypes.CDLL(path)  # The same mapping that TensorFlow just loaded.
    native.tfcass_put_secret.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    native.tfcass_put_secret.restype = None
    native.tfcass_set_driver_hint.argtypes = [ctypes.c_char_p]
    native.tfcass_set_driver_hint.restype = None
    native.tfcass_metrics_json.argtypes = []
    native.tfcass_metrics_json.restype = ctypes.c_char_p
    hint = driver_in_wheel()
    if hint is not None:
        native.tfcass_set_driver_hint(os.fsencode(hint))
    return wrappers, native


def _places() -> list[pathlib.Path]:
    package = pathlib.Path(__file__).resolve().parent
    return [package, package.parent / "bazel-bin" / "ops"]  # A wheel; a checkout.


def find_library() -> pathlib.Path | None:
    return next((place for place in _places() if (place / LIBRARY).is_file()), None)


def _installed_tensorflow() -> str | None:
    for name in _DISTRIBUTIONS:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _compare(folder: pathlib.Path, found: str) -> None:
    """Raises OpLibraryError when the library in `folder` was built for another TensorFlow minor than `found`."""
    info = folder / BUILD_INFO
    try:
        built = json.loads(info.read_text())["tensorflow"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OpLibraryError(
            f"{info} does not tell which TensorFlow {LIBRARY} was built for; {_HOW_TO_BUILD}"
        ) from error
    # An op binary fits one minor: TensorFlow's C++ interface changes with each.
    if built.split(".")[:2] != found.split(".")[:2]:
        minor = ".".join(built.split(".")[:2])
        raise OpLibraryError(
            f"tfcass's op library was built for TensorFlow {built} and this is TensorFlow {found}: {_HOW_TO_BUILD}, "
            f"or install TensorFlow {minor}"
        )


def driver_in_wheel() -> str | None:
    """The module of the acsylla wheel that holds the C driver, found without importing it."""
    spec = importlib.util.find_spec("acsylla")
    if spec is None or not spec.submodule_search_locations:
        return None
    found = glob.glob(os.path.join(spec.submodule_search_locations[0], "_cython", "cyacsylla*.so"))
    return found[0] if found else None
