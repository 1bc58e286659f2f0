"""Builds the wheel: what pyproject.toml says, plus the op libraries, which Bazel makes for the TensorFlow at hand."""

import os
import pathlib
import shutil
import subprocess
import sys

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = pathlib.Path(__file__).resolve().parent
OP_LIBRARY = ("_tfcass_ops.so", "_tfcass_scan.so", "_tfcass_build.json")
IMAGE_LIBRARY = "_tfcass_images.so"


class BazelBuild(build_ext):
    """Copies Bazel's op libraries into the package `tfcass`.

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
        libraries = list(OP_LIBRARY)
        if has_libtiff():
            libraries.append(IMAGE_LIBRARY)
        else:
            print("tfcass: no TIFF decoder in this build, as <tiffio.h> is missing: apt-get install libtiff-dev")
        targets = [f"//ops:{name}" for name in libraries]
        subprocess.run([bazel, "build", *targets], cwd=ROOT, env=env, check=True)
        package = pathlib.Path(self.get_ext_fullpath(ext.name)).parent
        package.mkdir(parents=True, exist_ok=True)
        for name in libraries:
            shutil.copyfile(ROOT / "bazel-bin" / "ops" / name, package / name)

    def get_ext_filename(self, ext_name: str) -> str:
        return os.path.join(*ext_name.split(".")) + ".so"


def has_libtiff() -> bool:
    """Whether the compiler finds libtiff's headers. Without them the wheel does all but decode TIFF."""
    command = [os.environ.get("CXX", "g++"), "-E", "-x", "c++", "-"]
    try:
        return not subprocess.run(command, input=b"#include <tiffio.h>\n", capture_output=True).returncode
    except FileNotFoundError:
        return False


class BinaryDistribution(Distribution):
    def has_ext_modules(self) -> bool:
        return True


setup(
    cmdclass={"build_ext": BazelBuild},
    distclass=BinaryDistribution,
    ext_modules=[Extension("tfcass._tfcass_ops", sources=[])],
)
