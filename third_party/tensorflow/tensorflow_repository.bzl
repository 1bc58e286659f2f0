"""The TensorFlow that a Python interpreter imports, as a repository.

Gives
  @tensorflow//:tensorflow       headers and the framework library to link with
  @tensorflow//:python_toolchain the interpreter, for py_test and genrules
  @tensorflow//:config.bzl       TF_VERSION, TF_COPTS (TensorFlow's own ABI flags), PYTHON

PYTHON_BIN_PATH chooses the interpreter; without it, the python3 on PATH.
"""

_PROBE = """
import json, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
print(json.dumps({
    "version": tf.__version__,
    "include": tf.sysconfig.get_include(),
    "lib": tf.sysconfig.get_lib(),
    "compile_flags": tf.sysconfig.get_compile_flags(),
    "link_flags": tf.sysconfig.get_link_flags(),
}))
"""

_CONFIG = """# TensorFlow {version} of {python}.
TF_VERSION = {version}
TF_COPTS = {copts}
PYTHON = {python}
"""

# Headers are `includes`, hence -isystem: their warnings are not ours.
_BUILD = """
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

cc_library(
    name = "tensorflow",
    hdrs = glob(["include/**"], exclude = ["include/**/*.so"]),
    defines = {defines},
    includes = ["include"],
    linkopts = ["-L{lib}", "-l:{framework}"],
)

py_runtime(
    name = "python_runtime",
    interpreter_path = "{python}",
    python_version = "PY3",
    stub_shebang = "#!{python}",
)

py_runtime_pair(
    name = "python_runtime_pair",
    py3_runtime = ":python_runtime",
)

toolchain(
    name = "python_toolchain",
    toolchain = ":python_runtime_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""

def _tensorflow_repository_impl(ctx):
    python = ctx.os.environ.get("PYTHON_BIN_PATH") or ctx.which("python3")
    if not python:
        fail("no python3 on PATH: set PYTHON_BIN_PATH to an interpreter that has TensorFlow")
    python = str(python)
    result = ctx.execute([python, "-c", _PROBE], timeout = 300)
    if result.return_code != 0:
        fail("%s cannot import TensorFlow: install it there, or set PYTHON_BIN_PATH\n%s" % (python, result.stderr))
    found = json.decode(result.stdout.strip().split("\n")[-1])  # Last line: an import may print before it.

    compile_flags = found["compile_flags"]
    framework = [flag[len("-l:"):] for flag in found["link_flags"] if flag.startswith("-l:")]
    if not framework:
        fail("TensorFlow %s of %s names no framework library to link with" % (found["version"], python))

    ctx.symlink(found["include"], "include")
    ctx.file("config.bzl", _CONFIG.format(
        version = repr(found["version"]),
        copts = repr([flag for flag in compile_flags if not flag.startswith("-I") and not flag.startswith("-D")]),
        python = repr(python),
    ))
    ctx.file("BUILD", _BUILD.format(
        defines = repr([flag[len("-D"):] for flag in compile_flags if flag.startswith("-D")]),
        framework = framework[0],
        lib = found["lib"],
        python = python,
    ))

tensorflow_repository = repository_rule(
    implementation = _tensorflow_repository_impl,
    configure = True,
    environ = ["PYTHON_BIN_PATH", "PATH"],
    local = True,
)
