"""Columns of an Arrow table as numpy arrays: keys, their order, and values as codes. Linear in time, few copies."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfcass.errors import KeyFormatError, SplitError

KEY_BYTES = 16
CHUNK = 1 << 22  # Rows worked on at a time, where a whole column of temporaries would be too much memory.


def chunks(n: int) -> Iterator[slice]:
    """range(n) in pieces of CHUNK."""
    return (slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))


def key_array(table: pa.Table, key: str) -> np.ndarray:
    """The key column as uint8 [n, 16]; no copy where the column is one chunk."""
    column = table.column(key)
    if isinstance(column.type, pa.BaseExtensionType):  # arrow.uuid
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if column.type != pa.binary(KEY_BYTES):
        raise KeyFormatError(
            f"key={key!r} has type {column.type}; expected fixed_size_binary(16), the bytes of a UUID: "
            "tfcass.read_rows() gives uuid columns so"
        )
    if column.num_chunks == 1:
        return _key_bytes(column.chunk(0))
    return np.concatenate([np.zeros((0, KEY_BYTES), np.uint8), *map(_key_bytes, column.chunks)])


def take_keys(keys: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """keys[positions], several times faster: a key is moved as one value of 16 bytes."""
    return np.ascontiguousarray(keys).view(np.complex128).reshape(-1).take(positions).view(np.uint8).reshape(-1, 16)


def key_order(keys: np.ndarray) -> np.ndarray:
    """int64 [n]: the order in which keys ascend as byte strings; equal keys keep theirs.

    The leading bits of a key and its position are sorted as one 64-bit word, in place, which is several times faster
    than an argsort. Keys that agree in these bits are sorted again among themselves, by all their bits.
    """
    words = np.ascontiguousarray(keys).view(">u8").reshape(-1, 2)
    n = len(words)
    if n < 2:
        return np.arange(n)
    bits = np.uint64(int(n - 1).bit_length())
    packed = words[:, 0].astype(np.uint64)
    packed >>= bits
    packed <<= bits
    for piece in chunks(n):
        packed[piece] |= np.arange(piece.start, piece.stop, dtype=np.uint64)
    packed.sort()
    tied = np.zeros(n, bool)
    for piece in chunks(n - 1):
        same = (packed[piece.start : piece.stop] >> bits) == (packed[piece.start + 1 : piece.stop + 1] >> bits)
        tied[piece] |= same
        tied[piece.start + 1 : piece.stop + 1] |= same
    packed &= (np.uint64(1) << bits) - np.uint64(1)
    order = packed.view(np.int64)
    places = np.flatnonzero(tied)
    if len(places):
        unsure = order[places]
        high, low = (words[unsure, i].astype(np.uint64) for i in (0, 1))
        order[places] = unsure[np.lexsort((low, high))]
    return order


def encode(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """A column -> (int32 [n] codes, -1 for null; the values by code, ascending). A code may have no row.

    Raises:
      SplitError: Values of this type have no order.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.unify_dictionaries()
    else:
        column = column.dictionary_encode()
    dictionary = column.chunk(0).dictionary if column.num_chunks else pa.array([], column.type.value_type)
    values = dictionary.drop_null().unique()  # A dictionary that was given may repeat values, or hold a null.
    # Arrow does not sort booleans.
    sortable = values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values
    try:
        values = values.take(pc.array_sort_indices(sortable))
        code_of = pc.fill_null(pc.index_in(dictionary, value_set=values), -1).to_numpy(zero_copy_only=False)
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise SplitError(f"values of type {kind} cannot be told apart and ordered ({error})") from None
    code_of = np.append(code_of.astype(np.int32), np.int32(-1))  # The last is what a null finds.
    codes = np.empty(len(column), np.int32)
    start = 0
    for chunk in column.chunks:
        indices = chunk.indices
        if indices.null_count:
            indices = pc.fill_null(indices.cast(pa.int64()), len(code_of) - 1)
        codes[start : start + len(chunk)] = code_of[indices.to_numpy()]
        start += len(chunk)
    return codes, values


def compact(codes: np.ndarray, n_values: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes without null -> (codes in which each value has a row, int64 the old code of each)."""
    used = np.zeros(n_values, bool)
    for piece in chunks(len(codes)):
        used[codes[piece]] = True
    old = np.flatnonzero(used)
    if len(old) == n_values:
        return codes, old
    new = np.zeros(n_values, np.int32)
    new[old] = np.arange(len(old), dtype=np.int32)
    return new[codes], old


def encode_groups(table: pa.Table, group_by: Sequence[str]) -> tuple[np.ndarray, int]:
    """The groups of rows: (int32 [n] codes, ascending with the values; -1 where a column is null), how many codes."""
    codes, values = encode(table.column(group_by[0]))
    count = len(values)
    for name in group_by[1:]:
        more, values = encode(table.column(name))
        null = (codes < 0) | (more < 0)
        # Packed again after each column, so that the product of many columns cannot overflow.
        both = codes.astype(np.int64) * max(1, len(values)) + more
        codes, packed = encode(pa.chunked_array([pa.array(both)]))
        codes[null] = -1
        count = len(packed)
    return codes, count


def group_values(table: pa.Table, group_by: Sequence[str]) -> list[object]:
    """One value per row: the grouping column's, or a tuple of several."""
    columns = [table.column(name).to_pylist() for name in group_by]
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def _key_bytes(array: pa.Array) -> np.ndarray:
    data = np.frombuffer(array.buffers()[1] or b"", np.uint8) if len(array) else np.zeros(0, np.uint8)
    return data[array.offset * KEY_BYTES : (array.offset + len(array)) * KEY_BYTES].reshape(-1, KEY_BYTES)
