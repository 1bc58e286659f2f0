"""The user's table of mpp: what it takes, and what it says of rows that are wrong."""

from pathlib import Path

import pytest

from beam_pipelines.slides.mpp_table import read_mpp_table
from tfcass.errors import OptionError


def _table(folder: Path, text: str) -> Path:
    path = folder / "mpp.csv"
    path.write_text(text)
    return path


def test_slides_are_found_by_path_name_or_stem(tmp_path: Path) -> None:
    path = _table(tmp_path, "slide,mpp,mpp_y,who\nP1_1.mrxs,0.25,,me\nscans/P1_2.svs,0.5,0.51,me\n P2_1 , 0.2524 ,,\n")
    assert read_mpp_table(path) == {"P1_1": (0.25, 0.25), "P1_2": (0.5, 0.51), "P2_1": (0.2524, 0.2524)}


def test_mpp_y_is_optional_and_a_spreadsheets_mark_does_no_harm(tmp_path: Path) -> None:
    assert read_mpp_table(_table(tmp_path, "\ufeffmpp,slide\n0.25,a.svs\n")) == {"a": (0.25, 0.25)}


def test_the_same_row_twice_is_no_contradiction(tmp_path: Path) -> None:
    assert read_mpp_table(_table(tmp_path, "slide,mpp\na.svs,0.25\na.svs,0.25\n")) == {"a": (0.25, 0.25)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slide,mpp\na.svs,0.25\na.svs,0.5\n", "row 3: slide 'a' was .0.25, 0.25. before and is .0.5, 0.5. here"),
        ("slide,mpp\na.svs,\n", "row 2: mpp .empty. is not a number"),
        ("slide,mpp\na.svs,nan\n", "row 2: mpp nan is not a number"),
        ('slide,mpp\na.svs,"0,25"\n', "row 2: mpp 0,25 is not a number"),
        ("slide,mpp\na.svs,0\n", r"row 2: .*outside \[0.02, 50\]"),
        ("slide,mpp\na.svs,250\n", r"row 2: .*outside \[0.02, 50\]"),
        ("slide,mpp,mpp_y\na.svs,0.25,x\n", "row 2: mpp 0.25, x is not a number"),
        ("slide,mpp\n,0.25\n", "row 2: no slide named"),
        ("slide,spacing\na.svs,0.25\n", "no column mpp .it has: slide, spacing."),
        ("", "no column mpp and slide .it has: nothing."),
    ],
)
def test_a_wrong_row_is_named(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        read_mpp_table(_table(tmp_path, text))
    assert "mpp.csv" in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot read mpp table .*absent.csv"):
        read_mpp_table(tmp_path / "absent.csv")
    (tmp_path / "bytes.csv").write_bytes(b"slide,mpp\n\xff\xfe,1\n")
    with pytest.raises(OptionError, match="cannot read mpp table .*bytes.csv"):
        read_mpp_table(tmp_path / "bytes.csv")
