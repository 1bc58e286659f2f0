"""What the tiling pipeline says about input that it cannot use, and that the rest is tiled all the same."""

import json
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tifffile

import tfcass
from beam_pipelines.summary import Summary
from beam_pipelines.tile_slides import main, run
from tests.support.tiling import Bench, square

pytestmark = pytest.mark.slides

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def bench(tmp_path, cassandra: tfcass.Cluster, keyspace: str) -> Bench:
    """With one good slide of one patch."""
    bench = Bench(tmp_path, cassandra, keyspace)
    bench.annotated_slide("good_0", side=1, tissue=1)
    return bench


@pytest.fixture
def offline(tmp_path) -> Bench:
    return Bench(tmp_path, None, "")


def outcome(summary: Summary, slide: str):
    return next(found for found in summary.slides if found.slide == slide)


def error_line(capsys) -> str:
    """The one line that a failed command says."""
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ") and captured.out == ""
    return lines[0]


def test_a_text_file_called_svs_is_reported_and_the_others_are_tiled(bench: Bench) -> None:
    (bench.folder / "slides" / "bad_1.svs").write_text("not a slide")

    summary = run(bench.options())

    bad = outcome(summary, "bad_1.svs")
    assert (summary.exit_code, bad.status, outcome(summary, "good_0.tif").stored) == (3, "unreadable", 1)
    assert "holds text" in bad.error
    (letter,) = (json.loads(line) for line in (bench.output / "dead_letters.jsonl").read_text().splitlines())
    assert (letter["slide"], letter["stage"]) == ("bad_1.svs", "plan")


def test_a_copy_of_a_slide_under_another_patient_is_named_and_left_out(bench: Bench, cassandra_session) -> None:
    path = bench.annotated_slide("p1_0")
    path.with_name("q7_3.tif").write_bytes(path.read_bytes())
    bench.annotate("q7_3", normal=square(0, 0, 3, 3))

    summary = run(bench.options())

    copy = outcome(summary, "q7_3.tif")
    assert (summary.exit_code, copy.status, copy.planned) == (3, "copy of another slide", 0)
    assert "the same pixels as 'p1_0.tif'" in copy.error and copy.error in summary.complaints()[0]
    assert outcome(summary, "p1_0.tif").stored == 9
    rows = cassandra_session.execute(f"SELECT patient_id FROM {bench.keyspace}.metadata_by_nat")
    assert {row.patient_id for row in rows} == {"good", "p1"}


def test_a_damaged_patch_is_a_dead_letter_with_its_place_and_its_neighbours_are_written(bench: Bench) -> None:
    path = bench.annotated_slide("torn_0")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[1]  # Level 1: a file tile of 256 pixels there is a patch.
        tile = 4  # Of 4 x 4: second row, first column.
        offset, size = page.dataoffsets[tile], page.databytecounts[tile]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(size))

    summary = run(bench.options())

    torn = outcome(summary, "torn_0.tif")
    assert (summary.exit_code, torn.planned, torn.written, torn.failed, torn.stored) == (3, 9, 8, 1, 8)
    (letter,) = (json.loads(line) for line in (bench.output / "dead_letters.jsonl").read_text().splitlines())
    assert (letter["slide"], letter["stage"], letter["x"], letter["y"]) == ("torn_0.tif", "cut", 0, 512)


def test_rows_that_cassandra_refuses_are_dead_letters(bench: Bench, cassandra_session) -> None:
    from beam_pipelines.row_writer import WriteOptions

    summary = run(bench.options(write=WriteOptions(max_row_bytes=100)))

    good = outcome(summary, "good_0.tif")
    assert (summary.exit_code, good.written, good.failed, good.stored) == (3, 0, 1, 0)
    assert "max_row_bytes" in summary.dead_letters[0]["error"]
    # A metadata row never points to a patch that is not there.
    assert not list(cassandra_session.execute(f"SELECT * FROM {bench.keyspace}.metadata_by_nat"))


def test_annotations_for_an_absent_slide_are_named(bench: Bench) -> None:
    bench.annotate("nowhere_1", tumor=square(0, 0, 1, 1))

    summary = run(bench.options())

    assert (summary.exit_code, summary.absent_slides) == (0, ("nowhere_1",))


def test_malformed_json_is_reported_and_other_files_are_used(bench: Bench) -> None:
    (bench.folder / "annotations" / "broken.geojson").write_text('{"features": [')

    summary = run(bench.options())

    assert (summary.exit_code, summary.total("written")) == (3, 1)
    assert "broken.geojson" in summary.complaints()[0] and "malformed JSON" in summary.complaints()[0]


def test_a_slide_without_annotations_is_a_named_outcome(bench: Bench) -> None:
    bench.slide("plain_0.tif")

    summary = run(bench.options())

    plain = outcome(summary, "plain_0.tif")
    assert (summary.exit_code, plain.status, plain.planned) == (0, "without annotations", 0)
    assert sum(plain.rejected.values()) == 16


def test_a_slide_without_tissue_is_a_named_outcome(bench: Bench) -> None:
    bench.annotate("empty_0", normal=square(0, 0, 2, 2))
    bench.slide("empty_0.tif", tissue=0)

    empty = outcome(run(bench.options()), "empty_0.tif")

    assert (empty.status, empty.planned, empty.rejected["too little tissue"]) == ("without tissue", 0, 4)


def test_a_run_without_any_patch_is_not_called_complete(bench: Bench) -> None:
    summary = run(bench.options(annotations=()))

    assert summary.exit_code == 3
    assert "no slide has a patch" in summary.complaints()[0]


def test_a_slide_without_level_9_is_tiled_like_any_other(bench: Bench) -> None:
    bench.annotated_slide("flat_0", levels=1)

    assert outcome(run(bench.options()), "flat_0.tif").stored == 9


def test_a_slide_without_mpp_is_tiled_with_a_null_mpp_and_a_note(bench: Bench, cassandra_session) -> None:
    bench.annotated_slide("nompp_0", mpp=None)

    slide = outcome(run(bench.options()), "nompp_0.tif")

    assert slide.stored == 9 and any("mpp" in note for note in slide.notes)
    rows = cassandra_session.execute(
        f"SELECT mpp FROM {bench.keyspace}.metadata_by_nat WHERE patient_id='nompp' AND slide_num=0 AND label=0"
    )
    assert {row.mpp for row in rows} == {None}


def test_a_polygon_outside_the_slide_is_noted(bench: Bench) -> None:
    bench.annotate("far_0", normal=square(0, 0, 1, 1), tumor=square(50, 50, 60, 60))
    bench.slide("far_0.tif")

    far = outcome(run(bench.options()), "far_0.tif")

    assert (far.planned, far.stored) == (1, 1)
    assert any("outside the slide" in note for note in far.notes)


def test_a_self_crossing_polygon_is_repaired_and_named(bench: Bench) -> None:
    bow_tie = [(0, 0), (2, 2), (2, 0), (0, 2), (0, 0)]
    bench.annotate("bow_0", normal=bow_tie)
    bench.slide("bow_0.tif")

    summary = run(bench.options())

    assert outcome(summary, "bow_0.tif").planned > 0
    assert [repaired for text, repaired in summary.annotation_problems if "bow_0" in text] == [True]
    assert summary.exit_code == 0


@pytest.mark.parametrize("pattern", ["{}/empty", "{}/empty/*.svs", "{}/missing.svs"])
def test_no_slide_is_one_clear_error(offline: Bench, capsys, pattern: str) -> None:
    (offline.folder / "empty").mkdir()
    pattern = pattern.format(offline.folder)

    code = main(["--slides", pattern, "--output", str(offline.output), "--dry-run"])

    assert code == 2
    assert pattern in error_line(capsys)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--patch-size", "200", "--decision-level", "9"], "patch_size=200"),
        (["--encoding", "jpg"], "encoding='jpg'"),
        (["--slidez", "x"], "--slidez"),
        (["--workers", "two"], "--workers"),
        (["--name-pattern", "(.*)"], "patient_id"),
        (["--password-env", "PW", "--host", "127.0.0.1"], "--user"),
        (["--slide-table", "absent.csv"], "absent.csv"),
        (["--annotations", "absent/*.csv"], "absent/*.csv"),
    ],
)
def test_a_wrong_flag_is_one_line_that_names_it(offline: Bench, capsys, flags: list[str], words: str) -> None:
    offline.slide("p1_0.tif", side=1, tissue=1)

    code = main(["--slides", str(offline.folder / "slides"), "--output", str(offline.output), "--dry-run", *flags])

    assert code == 2
    assert words in error_line(capsys)


def test_a_run_without_cluster_or_keyspace_is_wrong_usage(offline: Bench, capsys) -> None:
    base = ["--slides", str(offline.folder), "--output", str(offline.output)]
    assert main(base) == 2
    assert "--host" in error_line(capsys)
    assert main([*base, "--host", "127.0.0.1"]) == 2
    assert "--keyspace" in error_line(capsys)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("scan.tif,,1", "line 2: slide or patient_id is empty"),
        ("scan.tif,Ann,one", "slide_num='one'"),
        ("other.tif,A,1", "scan.tif"),
    ],
)
def test_a_slide_table_that_cannot_be_used_is_an_error_with_its_line(offline: Bench, line: str, words: str) -> None:
    offline.slide("scan.tif", side=1, tissue=1)
    table = offline.folder / "table.csv"
    table.write_text(f"slide,patient_id,slide_num\n{line}\n")

    with pytest.raises(tfcass.OptionError, match=words):
        run(offline.options(slide_table=str(table), dry_run=True))


def test_two_slides_of_one_patient_and_number_are_refused(offline: Bench) -> None:
    for name in ("p1-1.tif", "p1_1.tif"):
        offline.slide(name, side=1, tissue=1)

    with pytest.raises(tfcass.OptionError, match="'p1-1.tif' and 'p1_1.tif' are both patient 'p1', slide 1"):
        run(offline.options(dry_run=True))


def test_two_slides_of_one_name_are_refused(offline: Bench) -> None:
    path = offline.slide("p1_1.tif", side=1, tissue=1)
    other = offline.folder / "more"
    other.mkdir()
    (other / "p1_1.svs").write_bytes(path.read_bytes())

    with pytest.raises(tfcass.OptionError, match="same name"):
        run(offline.options(slides=(str(path), str(other)), dry_run=True))


def test_an_unreachable_cluster_is_one_error_before_any_work(offline: Bench, capsys) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    offline.annotated_slide("p1_0", side=1, tissue=1)
    flags = ["--slides", str(offline.folder / "slides"), "--output", str(offline.output), "--keyspace", "ks"]

    code = main([*flags, "--host", "127.0.0.1", "--port", str(port)])

    assert code == 1
    assert f"127.0.0.1:{port}" in error_line(capsys)
    assert not (offline.output / "masks").exists()


def test_tables_of_another_shape_are_one_error_before_any_work(bench: Bench, cassandra_session, capsys) -> None:
    cassandra_session.execute(f"CREATE TABLE {bench.keyspace}.data_by_uuid (patch_id text PRIMARY KEY, data blob)")

    code = main(bench.flags())

    assert code == 1
    captured = capsys.readouterr().err
    assert captured.startswith("error: ") and "patch_id" in captured and "Traceback" not in captured
    assert not (bench.output / "masks").exists()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 16 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small file system needs root; the limit on file sizes is tested all the same")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_clear_error(bench: Bench, small_disk: Path, capsys) -> None:
    (small_disk / "filler").write_bytes(bytes(4096 * 3 + 1))

    code = main(bench.flags("--output", str(small_disk), "--workers", "1", "--no-progress"))

    assert code == 1
    assert "No space left on device" in error_line(capsys)
    assert not list(small_disk.rglob("*.part"))
    assert not (small_disk / "summary.json").exists()


def test_progress_that_cannot_be_written_does_not_stop_the_run(bench: Bench, capsys) -> None:
    (bench.output / ".progress").mkdir(parents=True)

    assert main(bench.flags("--workers", "1")) == 0
    assert capsys.readouterr().err == ""


def test_output_that_cannot_grow_is_one_clear_error_from_worker_processes(bench: Bench) -> None:
    def no_file_grows() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    command = [sys.executable, "-m", "beam_pipelines.tile_slides", *bench.flags("--workers", "2", "--no-progress")]
    done = subprocess.run(command, preexec_fn=no_file_grows, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: cannot write ") and "File too large" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (bench.output / "summary.json").exists()
