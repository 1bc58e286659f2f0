"""Images of class folders and tables become rows: ingest_images, export, verify, end to end on a real server."""

import contextlib
import csv
import hashlib
import io
import itertools
import json
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cassandra import InvalidRequest
from PIL import Image

import tfcass
from beam_pipelines import export, image_pipeline, ingest_images, verify
from beam_pipelines.image_list import list_images
from beam_pipelines.image_run import ImageRun
from beam_pipelines.local_runner import PipelineError
from beam_pipelines.progress_bar import Bar
from beam_pipelines.row_writer import WriteOptions
from beam_pipelines.standard_image import ImageSpec, Picture, image_id, standard_picture
from tests.support.image_files import class_folders, kinds, noise
from tests.support.proxy import proxy_of
from tfcass import schema

SPEC = ImageSpec(size=16)


class Place:
    """A folder of images and a keyspace for them."""

    def __init__(self, folder: Path, cluster: tfcass.Cluster, keyspace: str) -> None:
        self.folder, self.cluster, self.keyspace = folder, cluster, keyspace
        self.images = folder / "images"
        self.images.mkdir()

    def run(self, **changes) -> "ingest_images.ImageSummary":
        return ingest_images.run(self.options(**changes))

    def options(self, **changes) -> ImageRun:
        settings = {
            "images": () if "table" in changes else (str(self.images),),
            "output": str(self.folder / "out"),
            "keyspace": self.keyspace,
            "cluster": self.cluster,
            "spec": SPEC,
            "workers": 1,
            "progress": False,
        }
        return ImageRun(**{**settings, **changes})

    def flags(self, *more: str) -> list[str]:
        where = ["--host", self.cluster.contact_points[0], "--port", str(self.cluster.port)]
        return ["--keyspace", self.keyspace, *where, "--workers", "1", "--no-progress", *more]

    def rows(self, session, table: str, columns: str = "*") -> list:
        return list(session.execute(f"SELECT {columns} FROM {self.keyspace}.{table}"))

    def dead(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "out" / "dead_letters.jsonl").read_text().splitlines()]


@pytest.fixture
def place(tmp_path: Path, cassandra: tfcass.Cluster, keyspace: str) -> Place:
    return Place(tmp_path, cassandra, keyspace)


def totals(summary) -> tuple[int, ...]:
    return tuple(summary.total(name) for name in ("files", "written", "skipped", "copies", "failed", "stored"))


def test_a_folder_per_class_becomes_rows_in_two_encodings(place: Place, cassandra_session) -> None:
    class_folders(place.images, {"cat": 5, "dog": 4})
    for name, data in kinds().items():
        (place.images / "zoo" / "deeper").mkdir(parents=True, exist_ok=True)
        (place.images / "zoo" / "deeper" / name).write_bytes(data)
    (place.images / "notes.txt").write_text("no image")
    (place.images / "loose.jpg").write_bytes(noise(99))

    summary = place.run(encodings=("jpeg", "tiff"), subset="train")

    count = len(kinds())
    assert totals(summary) == (9 + count, 9 + count, 0, 0, 0, 9 + count)
    assert summary.exit_code == 0
    assert len(summary.notes) == 2
    facts = {row.source: row for row in place.rows(cassandra_session, "images_by_class")}
    cat = facts[str(place.images / "cat" / "3.jpg")]
    data = (place.images / "cat" / "3.jpg").read_bytes()
    content = hashlib.sha256(data).hexdigest()
    assert (cat.class_name, cat.label, cat.subset, cat.width, cat.height) == ("cat", 0, "train", 40, 40)
    assert (cat.format, cat.mode, cat.file_bytes, cat.content) == ("JPEG", "RGB", len(data), content)
    assert (cat.patch_id, cat.bucket) == (image_id(content, SPEC), cat.patch_id.bytes[0] % 16)
    assert {row.label for row in facts.values() if row.class_name == "zoo"} == {2}
    turned = facts[str(place.images / "zoo" / "deeper" / "turned.jpg")]
    assert (turned.width, turned.height) == (60, 40)

    jpeg = {row.patch_id: row for row in place.rows(cassandra_session, "data_by_uuid")}
    tiff = {row.patch_id: row for row in place.rows(cassandra_session, "data_by_uuid_tiff")}
    assert jpeg.keys() == tiff.keys() == {row.patch_id for row in facts.values()}
    for row in facts.values():
        assert jpeg[row.patch_id].label == tiff[row.patch_id].label == row.label
        lossy = np.asarray(Image.open(io.BytesIO(jpeg[row.patch_id].data))).astype(int)
        exact = tifffile.imread(io.BytesIO(tiff[row.patch_id].data)).astype(int)
        assert lossy.shape == exact.shape == (16, 16, 3)
        assert np.abs(lossy - exact).mean() < 20
    assert (place.folder / "out" / "classes.csv").read_text() == "name,label\ncat,0\ndog,1\nzoo,2\n"
    assert json.loads((place.folder / "out" / "summary.json").read_text())["complete"] is True
    assert not list((place.folder / "out").glob(".*"))


def test_bad_files_and_copies_are_told_and_the_rerun_reads_and_skips(place: Place, cassandra_session) -> None:
    class_folders(place.images, {"cat": 4, "dog": 3})
    (place.images / "cat" / "broken.jpg").write_bytes(noise(50)[:200])
    (place.images / "cat" / "empty.png").write_bytes(b"")
    (place.images / "cat" / "same.jpg").write_bytes((place.images / "cat" / "0.jpg").read_bytes())
    (place.images / "dog" / "same.jpg").write_bytes((place.images / "cat" / "1.jpg").read_bytes())

    first = place.run()
    dead = {Path(letter["source"]).name: letter for letter in place.dead()}
    again = place.run()

    assert totals(first) == (11, 7, 0, 1, 3, 7)
    assert totals(again) == (11, 0, 7, 1, 3, 7)
    assert first.exit_code == again.exit_code == 3
    assert dead["broken.jpg"]["stage"] == "decode" and "cannot be decoded" in dead["broken.jpg"]["error"]
    assert dead["empty.png"]["error"] == "the file is empty"
    assert dead["same.jpg"]["stage"] == "compare with other files"
    assert "cat/1.jpg' of class 'cat', which is kept" in dead["same.jpg"]["error"]


def test_a_run_that_lost_rows_of_one_table_is_completed(place: Place, cassandra_session) -> None:
    class_folders(place.images, {"cat": 6})
    place.run(encodings=("jpeg", "tiff"))
    ids = [row.patch_id for row in place.rows(cassandra_session, "data_by_uuid", "patch_id")]
    cassandra_session.execute(f"DELETE FROM {place.keyspace}.data_by_uuid_tiff WHERE patch_id = {ids[0]}")
    cassandra_session.execute(
        f"DELETE FROM {place.keyspace}.images_by_class "
        f"WHERE class_name = 'cat' AND bucket = {ids[1].bytes[0] % 16} AND patch_id = {ids[1]}"
    )

    summary = place.run(encodings=("jpeg", "tiff"))

    assert totals(summary) == (6, 2, 4, 0, 0, 6)
    assert len(place.rows(cassandra_session, "data_by_uuid_tiff", "patch_id")) == 6


def test_a_table_of_paths_gives_labels_subsets_and_groups(place: Place, cassandra_session) -> None:
    class_folders(place.images, {"a": 2, "b": 1})
    table = place.folder / "images.csv"
    rows = [("path", "label", "subset", "group"), ("a/0.jpg", 7, "train", "p1"), ("a/1.jpg", 3, "", "p2")]
    rows += [(str(place.images / "b" / "0.jpg"), 3, "val", ""), ("a/missing.jpg", 3, "", "")]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)

    summary = place.run(table=str(table), root=str(place.images), subset="rest")

    found = sorted(
        (row.label, row.class_name, row.subset, row.group_name)
        for row in place.rows(cassandra_session, "images_by_class")
    )
    assert found == [(3, "3", "rest", "p2"), (3, "3", "val", ""), (7, "7", "train", "p1")]
    assert totals(summary) == (4, 3, 0, 0, 1, 3)
    assert place.dead()[0]["stage"] == "read"


def test_labels_that_contradict_the_tables_are_refused_until_the_classes_are_given(place: Place) -> None:
    class_folders(place.images, {"cat": 1, "dog": 1})
    place.run(limit=2)
    classes = (place.folder / "out" / "classes.csv").read_text()
    class_folders(place.images, {"ant": 1})

    with pytest.raises(tfcass.OptionError, match="class 'cat' is number 1 here, and 0 in"):
        place.run()
    (place.folder / "classes.csv").write_text(classes + "ant,2\n")
    summary = place.run(classes=str(place.folder / "classes.csv"))

    assert {outcome.name: outcome.label for outcome in summary.classes} == {"cat": 0, "dog": 1, "ant": 2}


def test_kept_files_come_back_as_they_were_and_are_verified(place: Place, cassandra_session, capsys) -> None:
    class_folders(place.images, {"cat": 3, "dog": 2})
    files = {path.read_bytes(): path.parent.name for path in place.images.glob("*/*.jpg")}
    out, checked = str(place.folder / "exported"), str(place.folder / "checked")
    ingest = ["--images", str(place.images), "--keep", "--output", str(place.folder / "out"), "--json"]

    assert ingest_images.main(place.flags(*ingest)) == 0
    assert json.loads(capsys.readouterr().out)["images"]["written"] == 5
    metadata = ("--metadata-table", "images_by_class")
    assert export.main(place.flags(*metadata, "--output", out)) == 0
    assert verify.main(place.flags(*metadata, "--output", checked)) == 0

    assert {path.read_bytes(): path.parent.name for path in Path(out).glob("*/*.jpg")} == files
    report = json.loads((Path(checked) / "verify.json").read_text())
    assert report["rows"] == {"images_by_class": 5, "data_by_uuid": 5}
    assert report["sizes"] == {"data_by_uuid": {"40 x 40": 5}}


def test_tfrecord_files_are_read_by_tensorflow(place: Place, cassandra_session) -> None:
    import tensorflow as tf

    class_folders(place.images, {"cat": 3, "dog": 2})
    place.run()
    stored = {row.patch_id.bytes: (row.label, row.data) for row in place.rows(cassandra_session, "data_by_uuid")}
    rows = tfcass.read_rows(f"{place.keyspace}.images_by_class", columns=("patch_id", "label"), cluster=place.cluster)
    splits = tfcass.split(rows, ratios={"train": 3, "val": 2}, label="label", seed=1)
    splits.save(place.folder / "splits")
    options = {"keyspace": place.keyspace, "cluster": place.cluster, "metadata_table": "images_by_class", "workers": 1}
    options |= {"format": "tfrecord", "progress": False}

    everything = export.run(export.ExportRun(output=str(place.folder / "all"), shards=2, **options))
    train = export.run(
        export.ExportRun(
            output=str(place.folder / "train"), splits=str(place.folder / "splits"), split="train", **options
        )
    )

    files = sorted(str(path) for path in (place.folder / "all").glob("images-*-of-00002.tfrecord"))
    examples = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(files)]
    features = [example.features.feature for example in examples]
    assert {
        feature["image/patch_id"].bytes_list.value[0]: (
            feature["image/class/label"].int64_list.value[0],
            feature["image/encoded"].bytes_list.value[0],
        )
        for feature in features
    } == stored
    assert {feature["image/class/text"].bytes_list.value[0] for feature in features} == {b"cat", b"dog"}
    assert (everything["written"], everything["complete"]) == (5, True)
    assert (train["written"], train["of_split"]) == (len(splits.keys("train")), len(splits.keys("train")))


def test_verify_finds_every_kind_of_damage(place: Place, cassandra_session, capsys) -> None:
    class_folders(place.images, {"cat": 6})
    place.run(spec=ImageSpec(size=None))
    rows = {Path(row.source).name: row for row in place.rows(cassandra_session, "images_by_class")}
    data, metadata = f"{place.keyspace}.data_by_uuid", f"{place.keyspace}.images_by_class"
    orphan, wrong = uuid.UUID(int=5), uuid.UUID(int=6)
    picture = noise(1)

    def set_data(id: uuid.UUID, label: int, content: bytes) -> None:
        cassandra_session.execute(
            f"INSERT INTO {data} (patch_id, label, data) VALUES (%s, %s, %s)", (id, label, content)
        )

    cassandra_session.execute(f"DELETE FROM {data} WHERE patch_id = {rows['0.jpg'].patch_id}")
    set_data(rows["1.jpg"].patch_id, 0, (place.images / "cat" / "1.jpg").read_bytes()[:300])
    set_data(rows["2.jpg"].patch_id, 1, (place.images / "cat" / "2.jpg").read_bytes())
    set_data(rows["3.jpg"].patch_id, 0, picture)
    set_data(orphan, 0, picture)
    set_data(wrong, 0, picture)
    for id, name in ((rows["4.jpg"].patch_id, "dog"), (wrong, "cat")):
        columns = "class_name, bucket, patch_id, label, content, spec"
        cassandra_session.execute(
            f"INSERT INTO {metadata} ({columns}) VALUES (%s, %s, %s, 0, %s, %s)",
            (name, id.bytes[0] % 16, id, rows["4.jpg"].content, rows["4.jpg"].spec),
        )

    checked = str(place.folder / "checked")
    assert verify.main(place.flags("--metadata-table", "images_by_class", "--output", checked)) == 3

    problems = [json.loads(line) for line in (Path(checked) / "problems.jsonl").read_text().splitlines()]
    found = {(problem["problem"], problem["patch_id"]) for problem in problems}
    assert found >= {
        ("no data row", str(rows["0.jpg"].patch_id)),
        ("not decodable", str(rows["1.jpg"].patch_id)),
        ("other bytes", str(rows["1.jpg"].patch_id)),
        ("other label", str(rows["2.jpg"].patch_id)),
        ("other bytes", str(rows["3.jpg"].patch_id)),
        ("several metadata rows", str(rows["4.jpg"].patch_id)),
        ("no metadata row", str(orphan)),
        ("wrong id", str(wrong)),
    }
    assert not any(problem["patch_id"] == str(rows["5.jpg"].patch_id) for problem in problems)
    assert "several metadata rows (images_by_class): 1" in capsys.readouterr().out


def test_masks_are_exported_beside_their_images_and_verified(place: Place, cassandra_session, capsys) -> None:
    schema.create_tables(place.cluster, place.keyspace, label_type="blob")
    mask, ids = kinds()["plain.png"], [uuid.UUID(int=number) for number in (1, 2)]
    for id, label in zip(ids, (mask, b"no mask"), strict=True):
        cassandra_session.execute(
            f"INSERT INTO {place.keyspace}.data_by_uuid (patch_id, label, data) VALUES (%s, %s, %s)",
            (id, label, noise(id.int)),
        )
        cassandra_session.execute(
            f"INSERT INTO {place.keyspace}.metadata_by_nat (patient_id, slide_num, label, x, y, patch_id, slide) "
            "VALUES ('p', 1, 0, %s, 0, %s, 'p_1.mrxs')",
            (id.int, id),
        )
    out, checked = place.folder / "exported", place.folder / "checked"

    assert export.main(place.flags("--output", str(out))) == 0
    assert verify.main(place.flags("--output", str(checked))) == 3

    assert (out / "0" / f"{ids[0]}_mask.png").read_bytes() == mask
    assert (out / "0" / f"{ids[0]}.jpg").read_bytes() == noise(1)
    (problem,) = [json.loads(line) for line in (checked / "problems.jsonl").read_text().splitlines()]
    assert (problem["patch_id"], problem["detail"]) == (str(ids[1]), "its mask cannot be decoded")
    assert problem["source"] == "p_1.mrxs x=2 y=0"


def test_equal_tables_have_equal_digests(place: Place, cassandra_session) -> None:
    class_folders(place.images, {"cat": 3})
    place.run()
    place.run(data_table="copy")

    def digests() -> list[str]:
        options = {"keyspace": place.keyspace, "cluster": place.cluster, "metadata_table": "images_by_class"}
        run = verify.VerifyRun(
            output=str(place.folder / "v"), data_tables=("data_by_uuid", "copy"), workers=1, progress=False, **options
        )
        return list(verify.run(run)["digests"].values())

    first, second = digests()
    assert first == second
    id = place.rows(cassandra_session, "copy", "patch_id")[0].patch_id
    cassandra_session.execute(f"UPDATE {place.keyspace}.copy SET label = 5 WHERE patch_id = {id}")
    unchanged, changed = digests()
    assert unchanged == first != changed


def test_two_worker_processes_do_the_same_as_a_program(place: Place, cassandra_session) -> None:
    class_folders(place.images, {"cat": 4, "dog": 4})
    flags = place.flags("--images", str(place.images), "--output", str(place.folder / "out"), "--size", "16")
    flags[flags.index("--workers") + 1] = "2"
    flags.remove("--no-progress")

    done = subprocess.run(
        [sys.executable, "-m", "beam_pipelines.ingest_images", *flags], capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stderr
    assert "8 files of 2 classes = 8 written" in done.stdout
    assert len(place.rows(cassandra_session, "data_by_uuid", "patch_id")) == 8


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_run_that_is_stopped_in_the_middle_is_completed_by_the_next(
    place: Place, cassandra_session, number: int, code: int
) -> None:
    count = 300
    class_folders(place.images, {"cat": count})
    # One row at a time, each of 600 kB: seconds from the first row to the last.
    slow = ("--max-in-flight", "1", "--encoding", "tiff", "--size", "448", "--output", str(place.folder / "out"))
    command = [sys.executable, "-m", "beam_pipelines.ingest_images", "--images", str(place.images)]
    process = subprocess.Popen(
        [*command, *place.flags(*slow)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    stored = 0
    while not stored and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
        with contextlib.suppress(InvalidRequest):  # No table yet.
            stored = len(place.rows(cassandra_session, "images_by_class", "patch_id"))
    process.send_signal(number)
    out, err = process.communicate(timeout=300)

    assert (process.returncode, out) == (code, "")
    if number == signal.SIGINT:
        assert err == "interrupted; run it again to go on: images that are stored are skipped\n"
    data = {row.patch_id for row in place.rows(cassandra_session, "data_by_uuid_tiff", "patch_id")}
    facts = {row.patch_id for row in place.rows(cassandra_session, "images_by_class", "patch_id")}
    assert facts <= data

    again = place.run(encodings=("tiff",), spec=ImageSpec(size=448))

    assert totals(again) == (count, count - len(facts), len(facts), 0, 0, count)


def test_a_database_that_goes_away_fails_the_run_and_the_next_one_completes_it(place: Place, monkeypatch) -> None:
    class_folders(place.images, {"cat": 40})
    seen = itertools.count(1)

    with proxy_of((place.cluster.contact_points[0], place.cluster.port)) as proxy:

        def picture(data: bytes, spec: ImageSpec) -> Picture:
            if next(seen) == 20:
                proxy.down()
            return standard_picture(data, spec)

        monkeypatch.setattr(image_pipeline, "standard_picture", picture)
        away = tfcass.Cluster(["127.0.0.1"], port=proxy.port)
        with pytest.raises(PipelineError, match="no row could be written for .* Is the cluster up"):
            place.run(cluster=away, write=WriteOptions(fail_after_s=1, max_in_flight=4))
    summary = place.run()

    assert 0 < summary.total("skipped") < 40
    assert totals(summary) == (40, 40 - summary.total("skipped"), summary.total("skipped"), 0, 0, 40)


def test_a_folder_that_cannot_be_written_to_is_one_line(place: Place, capsys) -> None:
    class_folders(place.images, {"cat": 1})
    (place.folder / "file").write_text("in the way")

    flags = place.flags("--images", str(place.images), "--output", str(place.folder / "file" / "out"))
    assert ingest_images.main(flags) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot write to" in line and "check the folder and its permissions" in line


def test_a_database_that_is_not_there_is_one_line(place: Place, capsys) -> None:
    class_folders(place.images, {"cat": 1})
    flags = ["--images", str(place.images), "--output", str(place.folder / "out"), "--keyspace", "k"]

    assert ingest_images.main([*flags, "--host", "127.0.0.1", "--port", "1"]) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert "connection refused" in line


def test_a_dry_run_needs_no_database(tmp_path: Path, capsys) -> None:
    class_folders(tmp_path / "images", {"cat": 2, "dog": 1})
    flags = ["--images", str(tmp_path / "images"), "--output", str(tmp_path / "out"), "--dry-run"]

    assert ingest_images.main(flags) == 0

    assert "3 images of 2 classes; dry run, nothing was read or written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "no output folder given"),
        (("--output", "o"), "pass either --images"),
        (("--output", "o", "--images", "absent", "--dry-run"), "is no folder"),
        (("--output", "o", "--images", "empty", "--dry-run"), "a folder per class is expected"),
        (("--output", "o", "--images", "empty"), "no cluster given"),
        (("--output", "o", "--csv", "absent.csv", "--dry-run"), "cannot be read"),
        (("--output", "o", "--csv", "bad.csv", "--dry-run"), "lacks the columns label"),
        (("--output", "o", "--images", "some", "--dry-run", "--encoding", "gif"), "encoding='gif'"),
        (("--output", "o", "--images", "some", "--dry-run", "--size", "0"), "size=0"),
        (("--output", "o", "--images", "some", "--dry-run", "--limit", "0"), "limit=0"),
        (("--output", "o", "--images", "some", "--dry-run", "--classes", "names.txt"), "did you mean 'cat'"),
        (("--output", "o", "--images", "some", "--dry-run", "--imagez", "x"), "unknown flag '--imagez'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(tmp_path: Path, monkeypatch, capsys, flags, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    class_folders(tmp_path / "some", {"cats": 1})
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    (tmp_path / "bad.csv").write_text("path,class\na.jpg,3\n")

    assert ingest_images.main(list(flags)) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        (export, ("--output", "o", "--keyspace", "k"), "no cluster given"),
        (export, ("--output", "o", "--host", "h"), "no keyspace given"),
        (export, ("--output", "o", "--host", "h", "--keyspace", "k", "--format", "zip"), "format='zip'"),
        (export, ("--output", "o", "--host", "h", "--keyspace", "k", "--split", "train"), "go together"),
        (verify, ("--output", "o", "--host", "h", "--keyspace", "k", "--data-table", "a,a"), "none twice"),
        (verify, ("--output", "o", "--host", "h", "--keyspace", "k", "--data-table", "metadata_by_nat"), "must name"),
        (verify, (), "no output folder given"),
    ],
)
def test_wrong_usage_of_export_and_verify(capsys, command, flags, message: str) -> None:
    assert command.main(list(flags)) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_table_that_is_no_metadata_table_is_told(place: Place, cassandra_session, capsys) -> None:
    cassandra_session.execute(f"CREATE TABLE {place.keyspace}.other (id int PRIMARY KEY)")

    assert verify.main(place.flags("--metadata-table", "other", "--output", str(place.folder / "v"))) == 1
    assert "has no column patch_id" in capsys.readouterr().err


def test_a_table_name_that_cassandra_does_not_take_is_told(place: Place) -> None:
    class_folders(place.images, {"cat": 1})

    with pytest.raises(tfcass.OptionError, match="table='a b' must be 1 to 48 letters"):
        place.run(data_table="a b")


def test_files_with_odd_names_are_listed_once(tmp_path: Path) -> None:
    folder = tmp_path / "cat [1] *"
    folder.mkdir()
    for name in ("a b.JPG", "ü.jpeg", ".hidden.jpg", "x.txt"):
        (folder / name).write_bytes(b"")

    images = list_images(ImageRun(images=(str(tmp_path), str(tmp_path)), output="o", dry_run=True))

    assert [Path(file.path).name for file in images.files] == ["a b.JPG", "ü.jpeg"]


def test_the_bar_shows_rate_and_time_left() -> None:
    bar = Bar({"read": "files read", "done": "images done"}, total=400)

    assert bar.line("read 40\n", now=10.0) == "[##......................] 40 of 400 files read"
    assert bar.line("read 40\nread 160\n", now=18.0) == (
        "[############............] 200 of 400 files read, 20/s, 0:10 left"
    )
    assert "0 of 400 images done" in bar.line("read 400\n", now=19.0)
    assert bar.line("read 400\ndone 1\n", now=29.0).endswith("1 of 400 images done, 0/s, 1:06:30 left")
