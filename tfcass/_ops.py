"""Finds the op libraries, checks that they fit the TensorFlow at hand, loads each once.

Importing this module imports neither TensorFlow nor a library: `library()` and `image_library()` do, at the first use
of an op.
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
IMAGE_LIBRARY = "_tfcass_images.so"  # Links with libtiff, which is not on every machine: a library of its own.
BUILD_INFO = "_tfcass_build.json"  # {"tensorflow": version that the libraries were built for}
LIBTIFF = "libtiff.so.6"

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


@functools.cache
def image_library() -> types.ModuleType:
    """The Python wrappers of tfcass.images' ops, loaded at the first call.

    Raises:
      OpLibraryError: The library or libtiff is absent, or the library was built for another TensorFlow, or cannot be
        loaded.
    """
    _find(IMAGE_LIBRARY, "it is left out where libtiff-dev is missing (Debian: apt-get install libtiff-dev); ")
    try:
        # TensorFlow exports some of the functions of libtiff's own libraries (zstd). Deep binding, at this first load,
        # keeps each to its own.
        ctypes.CDLL(LIBTIFF, mode=os.RTLD_LOCAL | os.RTLD_NOW | os.RTLD_DEEPBIND)
    except OSError as error:
        raise OpLibraryError(
            f"TIFF pictures are decoded by libtiff 4.5 or newer, which cannot be loaded ({error}); on Debian "
            "`apt-get install libtiff6` brings it"
        ) from error
    return _wrappers(IMAGE_LIBRARY)


def put_secret(name: str, value: str) -> None:
    """Hands a secret to this process's registry in the op library, where `process:<name>` refers to it.

    It stays in memory: it enters no graph, checkpoint, log or error.
    """
    _native().tfcass_put_secret(name.encode(), value.encode())


def metrics_json() -> str:
    """The engine's counters as JSON text."""
    return _native().tfcass_metrics_json().decode()


def token(partition_key: bytes) -> int:
    """Where Cassandra's Murmur3Partitioner puts a partition key of these bytes on the ring, as the engine computes it."""
    return _native().tfcass_token(partition_key, len(partition_key))


def describe_ring(cluster_text: str, keyspace: str) -> str:
    """The token ring that the engine groups reads by, for checks against the server.

    Args:
      cluster_text: What the op gets of a cluster.
      keyspace: A keyspace's name, as the schema has it.
    Returns:
      "ring: <local datacenter>" and a line "<start> <end> <owner> ..." for each range of tokens, start excluded; or
      "none: <why>" where the engine asks for each key by itself; or "error: <message>".
    """
    return _native().tfcass_describe_ring(cluster_text.encode(), keyspace.encode()).decode()


def _native() -> ctypes.CDLL:
    return _load()[1]


@functools.cache
def _load() -> tuple[types.ModuleType, ctypes.CDLL]:
    wrappers = _wrappers(LIBRARY)
    native = ctypes.CDLL(str(_find(LIBRARY) / LIBRARY))  # The same mapping that TensorFlow just loaded.
    native.tfcass_put_secret.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    native.tfcass_put_secret.restype = None
    native.tfcass_set_driver_hint.argtypes = [ctypes.c_char_p]
    native.tfcass_set_driver_hint.restype = None
    native.tfcass_metrics_json.argtypes = []
    native.tfcass_metrics_json.restype = ctypes.c_char_p
    native.tfcass_token.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    native.tfcass_token.restype = ctypes.c_int64
    native.tfcass_describe_ring.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    native.tfcass_describe_ring.restype = ctypes.c_char_p
    hint = driver_in_wheel()
    if hint is not None:
        native.tfcass_set_driver_hint(os.fsencode(hint))
    return wrappers, native


def _find(name: str, remedy: str = "") -> pathlib.Path:
    """The folder that holds the library `name`."""
    folder = find_library(name)
    if folder is None:
        places = " or ".join(str(place) for place in _places())
        raise OpLibraryError(f"{name} is not in {places}; {remedy}{_HOW_TO_BUILD}")
    return folder


def _wrappers(name: str) -> types.ModuleType:
    """Loads the library `name` into TensorFlow."""
    folder = _find(name)
    try:
        import tensorflow as tf
    except ImportError as error:
        raise OpLibraryError(f"tfcass's op needs TensorFlow, which cannot be imported ({error}); install it") from error
    _compare(folder, tf.__version__)
    path = str(folder / name)
    try:
        return tf.load_op_library(path)
    except tf.errors.NotFoundError as error:  # An undefined symbol: another build of the same minor, or a damaged file.
        raise OpLibraryError(
            f"{path} does not load into TensorFlow {tf.__version__}: {error}; {_HOW_TO_BUILD}"
        ) from error


def _places() -> list[pathlib.Path]:
    package = pathlib.Path(__file__).resolve().parent
    return [package, package.parent / "bazel-bin" / "ops"]  # A wheel; a checkout.


def find_library(name: str = LIBRARY) -> pathlib.Path | None:
    return next((place for place in _places() if (place / name).is_file()), None)


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
            f"{info} does not tell which TensorFlow the op library was built for; {_HOW_TO_BUILD}"
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
