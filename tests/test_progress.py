"""What a run says of how far it is."""

import io

import pytest

from beam_pipelines.progress import note_progress, progress_line, shown_progress


@pytest.mark.parametrize(
    ("sums", "seconds", "expected"),
    [
        ({}, 0.4, "0 of 4 slides planned, 0 of 0 patches cut, 0 s"),
        (
            {"slides": 4, "planned": 1200, "skipped": 200, "cut": 500},
            50,
            "4 of 4 slides planned, 500 of 1,000 patches cut, 200 stored before, 10/s, about 50 s left, 50 s",
        ),
        # One slide in four is planned, with 100 patches: 400 are expected in all.
        (
            {"slides": 1, "planned": 100, "cut": 40},
            4000,
            "1 of 4 slides planned, 40 of 100 patches cut, 0/s, about 10:00:00 left, 1:06:40",
        ),
    ],
)
def test_a_line_tells_what_is_done_the_rate_and_the_time_left(sums: dict, seconds: float, expected: str) -> None:
    assert progress_line(4, sums, seconds, bar=False) == expected


def test_a_bar_shows_the_share_of_the_patches_that_are_expected() -> None:
    line = progress_line(2, {"slides": 1, "planned": 60, "cut": 30}, 10, bar=True)

    assert line.startswith("[######..................]  25% 1 of 2 slides planned")


def test_a_run_that_is_not_watched_notes_nothing(tmp_path) -> None:
    note_progress(tmp_path / "absent", "cut", 3)

    assert list(tmp_path.iterdir()) == []


def test_the_file_is_gone_afterwards_and_a_log_gets_whole_lines(tmp_path) -> None:
    stream = io.StringIO()
    with shown_progress(tmp_path / ".progress", 1, stream=stream):
        note_progress(tmp_path / ".progress", "cut", 3)
        assert (tmp_path / ".progress").read_text() == "cut 3\n"

    assert list(tmp_path.iterdir()) == [] and "\r" not in stream.getvalue()
