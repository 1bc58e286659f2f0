"""The list of failed rows as a file."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tfcass import SplitError, TfcassError, keys
from tfcass.training import KeyJournal, Quarantine
from tfcass.training.quarantine import append_to_quarantine

IDS = [str(uuid.uuid5(uuid.NAMESPACE_OID, str(i))) for i in range(4)]


def entry(number: int, reason: str = "missing") -> dict:
    return {"patch_id": IDS[number], "reason": reason}


def test_what_was_added_is_read_in_that_order_and_each_row_once(tmp_path: Path) -> None:
    first, second = tmp_path / "rank0.jsonl", tmp_path / "rank1.jsonl"
    append_to_quarantine(first, [entry(2), entry(0, "undecodable: no JPEG")])
    append_to_quarantine(second, [entry(1)])
    append_to_quarantine(first, [entry(2, "seen again")])

    both = Quarantine.read(first, second)

    assert list(both.reasons.items()) == [(IDS[2], "missing"), (IDS[0], "undecodable: no JPEG"), (IDS[1], "missing")]
    assert both.keys.tobytes() == keys([IDS[2], IDS[0], IDS[1]]).tobytes()


def test_a_run_without_failures_has_an_empty_list(tmp_path: Path) -> None:
    assert Quarantine.read(tmp_path / "never_written").keys.shape == (0, 16)


def test_a_line_that_was_cut_off_is_passed_over_and_stays_alone(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    append_to_quarantine(file, [entry(0), entry(1)])
    file.write_bytes(file.read_bytes()[:-20])
    assert list(Quarantine.read(file).reasons) == [IDS[0]]

    append_to_quarantine(file, [entry(2)])

    assert json.loads(file.read_text().splitlines()[-1]) == entry(2)
    with pytest.raises(SplitError, match=r"q.jsonl:2 is no entry of a quarantine list"):
        Quarantine.read(file)  # Now it is in the middle, where only a person can say what was meant.


@pytest.mark.parametrize(
    "line", ["no json", "[]", '{"reason": "missing"}', '{"patch_id": "09b3", "reason": "missing"}', '{"patch_id": 5}']
)
def test_a_damaged_list_is_refused_by_line(line, tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(json.dumps(entry(0)) + "\n\n" + line + "\n")

    with pytest.raises(SplitError, match=r"q.jsonl:3 is no entry of a quarantine list .*remove this line or the file"):
        Quarantine.read(file)


def test_a_folder_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="cannot be read: Is a directory"):
        Quarantine.read(tmp_path)


def test_writers_at_the_same_time_do_not_mix_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"

    def write(number: int) -> None:
        for _ in range(200):
            append_to_quarantine(file, [entry(number, "x" * 3000)] * 2)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(write, range(3)))

    assert set(Quarantine.read(file).reasons) == set(IDS[:3])
    assert len(file.read_text().splitlines()) == 1200


def test_a_journal_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(TfcassError, match="cannot write the journal .*: No such file or directory"):
        KeyJournal(tmp_path / "absent" / "journal.jsonl")
