"""Finding and loading the op library: absent, built for another TensorFlow, damaged; what importing tfcass costs."""

import json
import subprocess
import sys

import pytest

from tfcass import _ops
from tfcass.errors import OpLibraryError


@pytest.fixture
def library_folder(tmp_path, monkeypatch):
    """An empty folder, the only place that the library is looked for."""
    monkeypatch.setattr(_ops, "_places", lambda: [tmp_path])
    monkeypatch.setattr(_ops, "_load", _ops._load.__wrapped__)  # Without the cache of what this process has loaded.
    return tmp_path


def _pretend_built_for(folder, version):
    (folder / _ops.LIBRARY).write_bytes(b"not an ELF file: loading it would fail")
    (folder / _ops.BUILD_INFO).write_text(json.dumps({"tensorflow": version}))


def test_an_absent_library_says_where_it_was_sought_and_how_to_build_it(library_folder):
    with pytest.raises(OpLibraryError) as caught:
        _ops._load()

    assert str(library_folder) in str(caught.value)
    assert "make setup" in str(caught.value) and "pip install" in str(caught.value)


def test_an_absent_library_is_no_error_at_import(library_folder):
    _ops.check_versions()


@pytest.mark.parametrize("first_seen", [_ops.check_versions, _ops._load.__wrapped__], ids=["at import", "at first use"])
def test_another_tensorflow_minor_is_named_before_loading(library_folder, first_seen):
    import tensorflow as tf

    _pretend_built_for(library_folder, "2.3.4")

    with pytest.raises(OpLibraryError) as caught:
        first_seen()

    message = str(caught.value)
    assert "TensorFlow 2.3.4" in message and f"TensorFlow {tf.__version__}" in message
    assert "make setup" in message and "\n" not in message


def test_another_patch_version_is_accepted(library_folder):
    import tensorflow as tf

    _pretend_built_for(library_folder, ".".join(tf.__version__.split(".")[:2]) + ".99")

    _ops.check_versions()


def test_a_library_without_build_information_is_refused(library_folder):
    _pretend_built_for(library_folder, "2.3.4")
    (library_folder / _ops.BUILD_INFO).write_text("{}")

    with pytest.raises(OpLibraryError, match=_ops.BUILD_INFO):
        _ops.check_versions()


def test_a_damaged_library_is_named(library_folder):
    import tensorflow as tf

    _pretend_built_for(library_folder, tf.__version__)

    with pytest.raises(OpLibraryError, match="does not load into TensorFlow"):
        _ops._load()


def test_the_real_library_loads_and_counts():
    assert hasattr(_ops.library(), "tfcass_fetch_dataset")
    assert isinstance(json.loads(_ops.metrics_json()), dict)


def test_importing_tfcass_imports_neither_tensorflow_nor_the_driver():
    heavy = "{'tensorflow', 'cassandra', 'acsylla', 'apache_beam'}"
    code = f"import sys, tfcass; tfcass.FetchOptions(); print(sorted({heavy} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
