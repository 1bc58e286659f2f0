"""tfcass.keys: UUIDs in, uint8 [n, 16] out, and one clear error for anything else."""

import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfcass
from tfcass.keys import key_text

TEXT = "0b9f2a52-7e43-5d4a-9c3e-6f2f0a1b2c3d"


@given(uuids=st.lists(st.uuids()))
def test_keys_read_back_as_the_same_uuids_in_the_same_order(uuids: list[uuid.UUID]) -> None:
    keys = tfcass.keys(uuids)

    assert keys.dtype == np.uint8 and keys.shape == (len(uuids), 16)
    assert [uuid.UUID(bytes=row.tobytes()) for row in keys] == uuids


@given(value=st.uuids())
def test_every_spelling_of_a_uuid_gives_the_same_key(value: uuid.UUID) -> None:
    spellings = [value, str(value), str(value).upper(), value.hex]

    keys = tfcass.keys(spellings)

    assert (keys == keys[0]).all()
    assert key_text(keys[0]) == str(value)


def test_bytes_are_big_endian() -> None:
    assert tfcass.keys([TEXT]).tobytes().hex() == TEXT.replace("-", "")


def test_trailing_zero_bytes_stay() -> None:
    assert tfcass.keys([uuid.UUID(int=1 << 127)]).tolist() == [[128] + [0] * 15]


def test_no_uuids_give_an_empty_array_of_keys() -> None:
    keys = tfcass.keys([])

    assert keys.dtype == np.uint8 and keys.shape == (0, 16)


def test_a_generator_is_read_once_and_the_result_is_contiguous_and_writable() -> None:
    keys = tfcass.keys(uuid.UUID(int=i) for i in range(3))

    assert keys[:, 15].tolist() == [0, 1, 2]
    assert keys.flags.c_contiguous and keys.flags.writeable


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "patch-17",
        TEXT[:-1],
        TEXT + "0",
        TEXT.replace("-", "", 1),  # Some hyphens and not others.
        TEXT[:-2] + "_d",  # uuid.UUID reads this one.
        TEXT[:-1] + "\n",
        TEXT[:-1] + "٣",  # A digit, and not a hexadecimal one.
    ],
)
def test_a_text_that_is_no_uuid_is_named_with_its_position(bad: str) -> None:
    with pytest.raises(tfcass.KeyFormatError) as raised:
        tfcass.keys([TEXT, bad])

    assert str(raised.value).startswith(f"keys[1]={bad!r} is not a UUID")


@pytest.mark.parametrize("bad", [None, 17, 1.5, b"0123456789abcdef"])
def test_a_value_of_another_type_is_named_with_its_position(bad: object) -> None:
    with pytest.raises(tfcass.KeyFormatError, match=rf"keys\[0\] is .* of type {type(bad).__name__}"):
        tfcass.keys([bad])


def test_a_single_uuid_is_told_to_go_into_a_list() -> None:
    with pytest.raises(tfcass.KeyFormatError, match=r"pass a list: keys\(\['0b9f2a52"):
        tfcass.keys(TEXT)


def test_keys_given_instead_of_uuids_are_recognised() -> None:
    with pytest.raises(
        tfcass.KeyFormatError, match=r"this is uint8 \[2, 16\]; if these are keys, use them as they are"
    ):
        tfcass.keys(np.zeros((2, 16), np.uint8))


def test_what_cannot_be_iterated_is_refused() -> None:
    with pytest.raises(tfcass.KeyFormatError, match="takes an iterable of uuid.UUID or str, got int"):
        tfcass.keys(5)
