"""`import tfcass`: quick, and usable where an optional package is absent."""

import subprocess
import sys

import pytest

import tfcass


def run(code: str) -> str:
    """What a fresh interpreter prints for `code`."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_public_name_is_there() -> None:
    for name in tfcass.__all__:
        assert getattr(tfcass, name) is not None
    assert set(tfcass.__all__) <= set(dir(tfcass))


def test_the_version_is_a_text() -> None:
    assert tfcass.__version__[0].isdigit()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tfcass' has no attribute 'CasandraDataset'"):
        tfcass.CasandraDataset  # noqa: B018


def test_importing_loads_no_heavy_package() -> None:
    code = "import sys, tfcass; print(sorted({'tensorflow', 'cassandra', 'pyarrow', 'horovod'} & set(sys.modules)))"

    assert run(code) == "[]"


def test_functions_named_like_their_module_stay_functions() -> None:
    code = "import tfcass, tfcass.keys, tfcass.metrics; print(callable(tfcass.keys), callable(tfcass.metrics))"

    assert run(code) == "True True"


# Makes imports of one package fail as they do where it is not installed.
_WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
import tfcass
try:
    {statement}
except tfcass.MissingExtraError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("package", "statement", "message"),
    [
        (
            "cassandra",
            "tfcass.Cluster(['127.0.0.1']).session().__enter__()",
            "tfcass.Cluster.session() needs the module cassandra, which is absent: pip install 'tfcass[driver]'",
        ),
        (
            "tensorflow",
            "tfcass.CassandraDataset",
            "tfcass.CassandraDataset needs the module tensorflow, which is absent: pip install tensorflow-cpu",
        ),
    ],
)
def test_an_absent_package_gives_the_command_that_installs_it(package: str, statement: str, message: str) -> None:
    assert run(_WITHOUT.format(package=package, statement=statement)) == message


def test_another_tensorflow_minor_is_one_warning_at_import() -> None:
    code = """
import warnings, tfcass._ops, tfcass
def refuse():
    raise tfcass.OpLibraryError("built for TensorFlow 2.3.4")
tfcass._ops.check_versions = refuse
import importlib
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    importlib.reload(tfcass)
print([(w.category.__name__, str(w.message)) for w in caught])
"""

    assert run(code) == "[('RuntimeWarning', 'built for TensorFlow 2.3.4')]"
