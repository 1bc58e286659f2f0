"""FetchOptions: what is accepted, what is refused and how that is said, and the text that the op gets."""

import dataclasses

import numpy as np
import pytest

from tfcass.errors import OptionError
from tfcass.options import AUTOTUNE, FetchOptions


def test_defaults_are_accepted_and_frozen():
    options = FetchOptions()

    assert options.deterministic and options.missing == "error" and options.max_in_flight == AUTOTUNE
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.missing = "skip"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("deterministic", 1, "True or False"),
        ("missing", "drop", "'error', 'skip', 'empty'"),
        ("max_in_flight", 0, "at least 1, or tfcass.AUTOTUNE"),
        ("max_in_flight", 2.0, "at least 1, or tfcass.AUTOTUNE"),
        ("max_in_flight", True, "at least 1, or tfcass.AUTOTUNE"),
        ("rows_per_request", 0, "in [1, 64], or tfcass.AUTOTUNE"),
        ("rows_per_request", 65, "in [1, 64], or tfcass.AUTOTUNE"),
        ("rows_per_request", True, "in [1, 64], or tfcass.AUTOTUNE"),
        ("max_buffered_bytes", 0, "at least 1, in bytes"),
        ("timeout_s", 0, "positive number of seconds"),
        ("timeout_s", float("nan"), "positive number of seconds"),
        ("timeout_s", float("inf"), "positive number of seconds"),
        ("timeout_s", "10", "positive number of seconds"),
        ("max_retries", -1, "at least 0"),
        ("consistency", "EACH_QUORUM", "'LOCAL_ONE', 'LOCAL_QUORUM'"),
        ("consistency", ["LOCAL_ONE"], "'LOCAL_ONE', 'LOCAL_QUORUM'"),
        ("hedge_after", "p50", "'p95', 'p99', 'p99.9'"),
        ("hedge_after", 0.99, "'p95', 'p99', 'p99.9'"),
        ("io_threads", 65, "[1, 64]"),
    ],
)
def test_a_bad_value_is_named_with_what_is_accepted(field, value, said):
    with pytest.raises(OptionError) as caught:
        FetchOptions(**{field: value})

    assert f"{field}={value!r}" in str(caught.value)
    assert said in str(caught.value)


def test_a_near_miss_is_suggested():
    with pytest.raises(OptionError, match="did you mean 'LOCAL_QUORUM'"):
        FetchOptions(consistency="local_quorum")


def test_the_text_for_the_op_is_sorted_and_encoded():
    options = FetchOptions(deterministic=False, missing="skip", max_in_flight=64, timeout_s=2.5, consistency="QUORUM")

    assert options._canonical() == (
        "consistency=QUORUM\n"
        "deterministic=0\n"
        "hedge_after=None\n"
        "io_threads=1\n"
        "max_buffered_bytes=268435456\n"
        "max_in_flight=64\n"
        "max_retries=5\n"
        "missing=skip\n"
        "rows_per_request=-1\n"
        "timeout_s=2.5\n"
    )


@pytest.mark.parametrize("hedge_after", [None, "p95", "p99", "p99.9"])
def test_a_hedge_is_told_by_its_percentile(hedge_after):
    assert f"hedge_after={hedge_after}\n" in FetchOptions(hedge_after=hedge_after)._canonical()


@pytest.mark.parametrize("rows", [AUTOTUNE, 1, 64])
def test_rows_per_request_reaches_the_op(rows):
    assert f"rows_per_request={rows}\n" in FetchOptions(rows_per_request=rows)._canonical()


def test_numpy_integers_are_integers():
    assert FetchOptions(max_in_flight=np.int64(4))._canonical() == FetchOptions(max_in_flight=4)._canonical()
