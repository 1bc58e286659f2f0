"""The library that reads whole tables into Arrow, through ctypes: found, loaded once, its errors turned into ours.

It needs neither TensorFlow nor cassandra-driver, only the C driver. Its pages come over in Arrow's C data interface,
without a copy.
"""

import ctypes
import functools
import os
from collections.abc import Iterator

import pyarrow as pa

from tfcass import _ops
from tfcass.errors import AuthenticationError, ClusterError, OpLibraryError, OptionError, SchemaError, TfcassError

LIBRARY = "_tfcass_scan.so"
_WAIT_S = 0.1  # In the library, before Python looks for signals again.
_ARROW_ARRAY_BYTES = 80  # sizeof(struct ArrowArray)

_ERRORS: dict[str, type[TfcassError]] = {
    "UNAUTHENTICATED": AuthenticationError,
    "FAILED_PRECONDITION": SchemaError,
    "INVALID_ARGUMENT": OptionError,
    "NO_DRIVER": OpLibraryError,
}  # All others: ClusterError.


def pages(cluster: str, spec: str, options: str, schema: pa.Schema) -> Iterator[tuple[tuple[int, int], pa.RecordBatch]]:
    """The pages of a scan as they come, each with its place in the order of the tokens.

    Args:
      cluster, spec, options: Canonical texts; what they may hold is said where the library parses them.
      schema: Of a page.
    Raises:
      OpLibraryError: The library, or the C driver, is absent.
      ClusterError, AuthenticationError, SchemaError, OptionError: A page could not be read.
    """
    library = _library()
    scan = ctypes.c_void_p()
    part, number, more = ctypes.c_int64(), ctypes.c_int64(), ctypes.c_int(1)
    array = ctypes.create_string_buffer(_ARROW_ARRAY_BYTES)
    address = ctypes.addressof(array)
    try:
        _check(library.tfcass_scan_open(cluster.encode(), spec.encode(), options.encode(), ctypes.byref(scan)))
        while True:
            _check(library.tfcass_scan_next(scan, _WAIT_S, array, part, number, more))
            if not more.value:
                return
            if any(array.raw):
                yield (part.value, number.value), pa.RecordBatch._import_from_c(address, schema)
    finally:
        library.tfcass_scan_close(scan)


def _check(told: bytes | None) -> None:
    if told is None:
        return
    code, _, message = told.decode(errors="replace").partition(": ")
    raise _ERRORS.get(code, ClusterError)(message)


@functools.cache
def _library() -> ctypes.CDLL:
    folder = _ops.find_library(LIBRARY)
    if folder is None:
        raise _ops.absent(LIBRARY)
    try:
        library = ctypes.CDLL(os.fspath(folder / LIBRARY))
    except OSError as error:
        raise OpLibraryError(f"{folder / LIBRARY} does not load: {error}; {_ops.HOW_TO_BUILD}") from error
    pointer = ctypes.POINTER
    library.tfcass_scan_open.argtypes = [ctypes.c_char_p] * 3 + [pointer(ctypes.c_void_p)]
    library.tfcass_scan_open.restype = ctypes.c_char_p
    library.tfcass_scan_next.argtypes = [
        ctypes.c_void_p,
        ctypes.c_double,
        ctypes.c_char_p,
        pointer(ctypes.c_int64),
        pointer(ctypes.c_int64),
        pointer(ctypes.c_int),
    ]
    library.tfcass_scan_next.restype = ctypes.c_char_p
    library.tfcass_scan_close.argtypes = [ctypes.c_void_p]
    library.tfcass_scan_close.restype = None
    _ops.introduce(library)
    return library
