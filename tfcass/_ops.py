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

from tfcass import _exit
from tfcass.errors import OpLibraryError

LIBRARY = "_tfcass_ops.so"
IMAGE_LIBRARY = "_tfcass_images.so"  # Links with libtiff, which is not on every machine: a library of its own.
BUILD_INFO = "_tfcass_build.json"  # {"tensorflow": version that the libraries were built for}
LIBTIFF = "libtiff.so.6"

# Distributions that provide the `tensorflow` package.
_DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-intel", "tensorflow-aarch64")
HOW_TO_BUILD = (
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

    It stays in memory: it enters no graph, checkpoint, log or error. A library that is loaded later is told then.
    """
    _secrets[name] = value
    for library in _introduced:
        library.tfcass_put_secret(name.encode(), value.encode())


_secrets: dict[str, str] = {}
_introduced: list[ctypes.CDLL] = []


def introduce(library: ctypes.CDLL) -> None:
    """Tells a library of ours what it has to know of this process: secrets, now and later, and where the driver is."""
    library.tfcass_put_secret.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    library.tfcass_put_secret.restype = None
    library.tfcass_set_driver_hint.argtypes = [ctypes.c_char_p]
    library.tfcass_set_driver_hint.restype = None
    _introduced.append(library)  # First: a secret that comes meanwhile is told twice, and not missed.
    for name, value in list(_secrets.items()):
        library.tfcass_put_secret(name.encode(), value.encode())
    hint = driver_in_wheel()
    if hint is not None:
        library.tfcass_set_driver_hint(os.fsencode(hint))


def metrics_json(metrics_id: str = "") -> str:
    """The engine's counters as JSON text: of the dataset with this metrics id, or of the process."""
    return _native().tfcass_metrics_json(metrics_id.encode()).decode()


def token(partition_key: bytes) -> int:
    """Where Murmur3Partitioner puts a partition key of these bytes on the ring, as the engine computes it."""
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
    _exit.let_iterators_outlive_python()
    native = ctypes.CDLL(str(_find(LIBRARY) / LIBRARY))  # The same mapping that TensorFlow just loaded.
    native.tfcass_metrics_json.argtypes = [ctypes.c_char_p]
    native.tfcass_metrics_json.restype = ctypes.c_char_p
    native.tfcass_token.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    native.tfcass_token.restype = ctypes.c_int64
    native.tfcass_describe_ring.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    native.tfcass_describe_ring.restype = ctypes.c_char_p
    introduce(native)
    return wrappers, native


def _find(name: str, remedy: str = "") -> pathlib.Path:
    """The folder that holds the library `name`."""
    folder = find_library(name)
    if folder is None:
        raise absent(name, remedy)
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
            f"{path} does not load into TensorFlow {tf.__version__}: {error}; {HOW_TO_BUILD}"
        ) from error


def _places() -> list[pathlib.Path]:
    package = pathlib.Path(__file__).resolve().parent
    return [package, package.parent / "bazel-bin" / "ops"]  # A wheel; a checkout.


def find_library(name: str = LIBRARY) -> pathlib.Path | None:
    """The folder that holds a library of ours."""
    return next((place for place in _places() if (place / name).is_file()), None)


def absent(name: str, remedy: str = "") -> OpLibraryError:
    """The error for a library of ours that is nowhere."""
    places = " or ".join(str(place) for place in _places())
    return OpLibraryError(f"{name} is not in {places}; {remedy}{HOW_TO_BUILD}")


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
            f"{info} does not tell which TensorFlow the op library was built for; {HOW_TO_BUILD}"
        ) from error
    # An op binary fits one minor: TensorFlow's C++ interface changes with each.
    if built.split(".")[:2] != found.split(".")[:2]:
        minor = ".".join(built.split(".")[:2])
        raise OpLibraryError(
            f"tfcass's op library was built for TensorFlow {built} and this is TensorFlow {found}: {HOW_TO_BUILD}, "
            f"or install TensorFlow {minor}"
        )


def driver_in_wheel() -> str | None:
    """The module of the acsylla wheel that holds the C driver, found without importing it."""
    spec = importlib.util.find_spec("acsylla")
    if spec is None or not spec.submodule_search_locations:
        return None
    found = glob.glob(os.path.join(spec.submodule_search_locations[0], "_cython", "cyacsylla*.so"))
    return found[0] if found else None
