"""Slides on a remote filesystem, played by a filesystem of Beam's kind that keeps its files in a folder."""

import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from apache_beam.io.filesystem import CompressionTypes, FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem

from beam_pipelines import files
from beam_pipelines.local_copies import CopyCache, local_copy
from beam_pipelines.slides.errors import SlideError
from beam_pipelines.slides.open import open_slide
from beam_pipelines.tile_slides import run
from tests.support.drawn_slides import Disc, DrawnSlide
from tests.support.mirax_files import write_mirax
from tests.support.tiling import Bench
from tfcass.errors import OptionError

pytestmark = pytest.mark.slides


class ShelfFileSystem(LocalFileSystem):
    """shelf://PATH is the file /PATH."""

    opened: list[str] = []

    @classmethod
    def scheme(cls) -> str:
        return "shelf"

    def join(self, base: str, *paths: str) -> str:
        return "/".join([base.rstrip("/"), *paths])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        for entry in super()._list(_local(dir_or_prefix)):
            yield FileMetadata("shelf:/" + entry.path, entry.size_in_bytes, entry.last_updated_in_seconds)

    def open(self, path, mime_type="application/octet-stream", compression_type=CompressionTypes.AUTO):
        self.opened.append(path)
        return super().open(_local(path), mime_type, compression_type)

    def create(self, path, mime_type="application/octet-stream", compression_type=CompressionTypes.AUTO):
        Path(_local(path)).parent.mkdir(parents=True, exist_ok=True)
        return super().create(_local(path), mime_type, compression_type)

    def metadata(self, path: str) -> FileMetadata:
        found = super().metadata(_local(path))
        return FileMetadata(path, found.size_in_bytes, found.last_updated_in_seconds)

    def exists(self, path: str) -> bool:
        return Path(_local(path)).exists()

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            Path(_local(path)).unlink()


def _local(path: str) -> str:
    return path.removeprefix("shelf:/")


def url(path: Path) -> str:
    return f"shelf:/{path}"


@pytest.fixture
def bench(tmp_path, cassandra, keyspace: str) -> Bench:
    ShelfFileSystem.opened.clear()
    return Bench(tmp_path, cassandra, keyspace)


def test_slides_annotations_and_output_may_be_urls(bench: Bench, tmp_path) -> None:
    bench.annotated_slide("p1_0")
    bench.annotated_slide("p2_0", side=2, tissue=1)
    local = run(bench.options(dry_run=True))

    summary = run(
        bench.options(
            slides=(url(bench.folder / "slides") + "/",),
            annotations=(url(bench.folder / "annotations" / "*.geojson"),),
            output=url(tmp_path / "far"),
            copies=CopyCache(str(tmp_path / "cache")),
        )
    )

    assert (summary.complaints(), summary.total("stored")) == ([], local.total("planned"))
    for name in ("summary.json", "report.html", "masks/p1_0_tumor.png", "ledger/p1_0.parquet"):
        assert (tmp_path / "far" / name).is_file()
    assert (tmp_path / "far" / "masks" / "p1_0_tumor.png").read_bytes() == (
        bench.output / "masks" / "p1_0_tumor.png"
    ).read_bytes()


def test_a_mirax_slide_is_copied_with_its_folder_once(tmp_path) -> None:
    drawn = DrawnSlide(tmp_path / "far" / "m_0.mrxs", 2_048, Disc(1_000, 1_000, 700), Disc(900, 900, 300))
    drawn.path.parent.mkdir()
    write_mirax(drawn.path, drawn.paint, images=(8, 8), levels=4)
    cache = CopyCache(str(tmp_path / "cache"))
    ShelfFileSystem.opened.clear()

    for _ in range(2):
        with local_copy(url(drawn.path), cache) as path, open_slide(path) as slide, open_slide(drawn.path) as original:
            assert (slide.read_patch(512, 512, 64, 1) == original.read_patch(512, 512, 64, 1)).all()
            assert slide.content_id == original.content_id

    assert len(ShelfFileSystem.opened) == len(files.parts(str(drawn.path))) > 3


def test_a_slide_that_changed_is_copied_anew(tmp_path) -> None:
    path = tmp_path / "s.svs"
    cache = CopyCache(str(tmp_path / "cache"))
    for content in (b"first", b"second one"):
        path.write_bytes(content)
        with local_copy(url(path), cache) as copy:
            assert Path(copy).read_bytes() == content


def test_copies_stay_within_the_limit_and_the_one_used_longest_ago_goes(tmp_path) -> None:
    cache = CopyCache(str(tmp_path / "cache"), limit_bytes=250)
    for name in "abc":
        (tmp_path / f"{name}.svs").write_bytes(name.encode() * 100)
    kept: dict[str, Path] = {}
    for name in ("a", "b", "a", "c"):
        with local_copy(url(tmp_path / f"{name}.svs"), cache) as copy:
            kept[name] = Path(copy)

    assert {name: copy.exists() for name, copy in kept.items()} == {"a": True, "b": False, "c": True}


def test_a_copy_in_use_is_never_deleted(tmp_path) -> None:
    cache = CopyCache(str(tmp_path / "cache"), limit_bytes=150)
    for name in "ab":
        (tmp_path / f"{name}.svs").write_bytes(name.encode() * 100)

    with local_copy(url(tmp_path / "a.svs"), cache) as first, local_copy(url(tmp_path / "b.svs"), cache) as second:
        assert Path(first).read_bytes() == b"a" * 100 and Path(second).read_bytes() == b"b" * 100


def _copy(folder: str, path: str, taken) -> None:
    with local_copy(path, CopyCache(folder)) as copy:
        taken.put(Path(copy).read_bytes())


def test_processes_that_want_one_slide_copy_it_once(tmp_path) -> None:
    path = tmp_path / "s.svs"
    path.write_bytes(b"x" * 1000)
    context = multiprocessing.get_context("fork")
    taken = context.Queue()
    workers = [context.Process(target=_copy, args=(str(tmp_path / "cache"), url(path), taken)) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = [taken.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)

    assert found == [b"x" * 1000] * 4
    assert len(list((tmp_path / "cache").glob("*/s.svs"))) == 1


@pytest.mark.parametrize(
    ("limit", "name", "words"), [(10, "s.svs", "raise --slide-cache-gb"), (1000, "gone.svs", "no such file")]
)
def test_a_slide_that_cannot_be_copied_is_a_slide_error(tmp_path, limit: int, name: str, words: str) -> None:
    (tmp_path / "s.svs").write_bytes(b"x" * 100)

    with pytest.raises(SlideError, match=words):
        with local_copy(url(tmp_path / name), CopyCache(str(tmp_path / "cache"), limit_bytes=limit)):
            pass


def test_a_cache_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "s.svs").write_bytes(b"x")
    (tmp_path / "cache").write_text("a file")

    with pytest.raises(SlideError, match="--slide-cache"):
        with local_copy(url(tmp_path / "s.svs"), CopyCache(str(tmp_path / "cache"))):
            pass


def test_an_unknown_scheme_says_what_to_install() -> None:
    with pytest.raises(OptionError, match="apache-beam"):
        files.match("nowhere://bucket/*.svs")


def test_a_local_path_is_used_as_it_is(tmp_path) -> None:
    path = shutil.copy(__file__, tmp_path / "s.svs")

    with local_copy(str(path), CopyCache(str(tmp_path / "cache"))) as same:
        assert same == str(path)
    assert not (tmp_path / "cache").exists()
