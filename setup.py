"""Builds the wheel: what pyproject.toml says, plus the op library, which Bazel makes for the TensorFlow at hand."""

import os
import pathlib
import shutil
import subprocess
import sys

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = pathlib.Path(__file__).resolve().parent
OP_LIBRARY = ("_tfcass_ops.so", "_tfcass_build.json")


class BazelBuild(build_ext):
    """Copies Bazel's op library into the package `tfcass`.

    An editable install copies nothing: a checkout uses bazel-bin directly, so that a rebuild is never shadowed.
    """

    def run(self) -> None:
        if not self.editable_mode:
            super().run()

    def build_extension(self, ext: Extension) -> None:
        bazel = os.environ.get("BAZEL", "bazel")
        if shutil.which(bazel) is None:
            sys.exit(
                f"tfcass is built with Bazel, and {bazel!r} is not on PATH: "
                "apt-get install bazel-bootstrap, or set BAZEL"
            )
        # pip's isolated build hides the user's packages behind PYTHONPATH; the op library must fit the user's
        # TensorFlow.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        env["PYTHON_BIN_PATH"] = sys.executable
        if subprocess.run(
            [sys.executable, "-c", "import tensorflow"], env=env, cwd="/", capture_output=True
        ).returncode:
            sys.exit(
                f"{sys.executable} has no TensorFlow: `pip install tensorflow` (or tensorflow-cpu), "
                "then install tfcass again"
            )
        subprocess.run([bazel, "build", "//ops:all"], cwd=ROOT, env=env, check=True)
        package = pathlib.Path(self.get_ext_fullpath(ext.name)).parent
        package.mkdir(parents=True, exist_ok=True)
        for name in OP_LIBRARY:
            shutil.copyfile(ROOT / "bazel-bin" / "ops" / name, package / name)

    def get_ext_filename(self, ext_name: str) -> str:
        return os.path.join(*ext_name.split(".")) + ".so"


class BinaryDistribution(Distribution):
    def has_ext_modules(self) -> bool:
        return True


setup(
    cmdclass={"build_ext": BazelBuild},
    distclass=BinaryDistribution,
    ext_modules=[Extension("tfcass._tfcass_ops", sources=[])],
)
