"""The wheel: it carries the op library, and works where there is no checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tfcass import _ops, _scan_library

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from a copy of the checkout, so that nothing of earlier builds gets in and none of this one stays."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("tfcass", "beam_pipelines"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    built = copy / "bazel-bin" / "ops"
    built.mkdir(parents=True)
    for name in (_ops.LIBRARY, _ops.IMAGE_LIBRARY, _scan_library.LIBRARY, _ops.BUILD_INFO):
        shutil.copy(ROOT / "bazel-bin" / "ops" / name, built)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", copy / "dist"]
    # In Bazel's place a program that does nothing: the library is built already.
    made = subprocess.run(
        [*command, copy], env={**os.environ, "BAZEL": "true"}, capture_output=True, text=True, timeout=200
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return next((copy / "dist").glob("tfcass-*.whl"))


def test_it_holds_the_op_library_and_all_that_the_packages_need(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    wanted = {f"tfcass/{name}" for name in (_ops.LIBRARY, _ops.IMAGE_LIBRARY, _ops.BUILD_INFO, "py.typed")}
    wanted |= {"tfcass/devcluster/pom.xml"}
    wanted |= {"tfcass/demo/templates/report.html.j2", "beam_pipelines/drawing/templates/page.css"}
    wanted |= {"beam_pipelines/templates/tiling_report.html.j2"}
    wanted |= {
        str(path.relative_to(ROOT)) for name in ("tfcass", "beam_pipelines") for path in (ROOT / name).rglob("*.py")
    }
    assert wanted - names == set()
    assert not [name for name in names if name.startswith(("tests/", "examples/"))]


def test_its_name_says_that_it_is_for_this_kind_of_machine(wheel: Path) -> None:
    assert "linux" in wheel.name and "none-any" not in wheel.name


@pytest.fixture
def site(wheel: Path, tmp_path: Path) -> Path:
    """A folder with the wheel's packages."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    return tmp_path / "site"


def _python(code: str, site: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=site.parent, env=environment, capture_output=True, text=True, timeout=100
    )


def test_the_op_library_loads_from_it(site: Path) -> None:
    done = _python(
        "from tfcass import _ops; print(_ops.find_library()); print(hasattr(_ops.library(), 'tfcass_fetch_dataset'))",
        site,
    )

    assert done.stdout.splitlines() == [str(site / "tfcass"), "True"], done.stderr


def test_the_tiff_decoder_loads_from_it(site: Path) -> None:
    done = _python(
        "from tfcass import _ops, images; print(_ops.find_library(_ops.IMAGE_LIBRARY)); "
        "images.decode_tiff(b'not a TIFF')",
        site,
    )

    assert done.stdout.splitlines() == [str(site / "tfcass")], done.stderr
    assert "InvalidArgumentError" in done.stderr.splitlines()[-1]


def test_the_library_of_scans_loads_from_it_without_tensorflow(site: Path) -> None:
    done = _python(
        "import sys; from tfcass import _scan_library as s; print(s._library()._name, 'tensorflow' in sys.modules)",
        site,
    )

    assert done.stdout.split() == [str(site / "tfcass" / "_tfcass_scan.so"), "False"], done.stderr


def test_importing_it_under_another_tensorflow_minor_says_so_in_one_line(site: Path) -> None:
    (site / "tfcass" / _ops.BUILD_INFO).write_text('{"tensorflow": "2.3.4"}')

    done = _python("import tfcass", site)

    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert "tfcass's op library was built for TensorFlow 2.3.4 and this is TensorFlow 2." in line
