"""GoogleTest, compiled from the sources that Debian's libgtest-dev and googletest install.

From source, so that the sanitizers see it too. GTEST_ROOT replaces /usr.
"""

_BUILD = """
package(default_visibility = ["//visibility:public"])

_WHOLE = ["googletest/src/gtest-all.cc", "googletest/src/gtest_main.cc"]

cc_library(
    name = "gtest_main",
    srcs = _WHOLE,
    hdrs = glob(["include/gtest/**/*.h"]),
    copts = ["-Iexternal/{name}/googletest"],
    includes = ["include"],
    linkopts = ["-pthread"],
    textual_hdrs = glob(["googletest/src/*"], exclude = _WHOLE),
)
"""

def _gtest_repository_impl(ctx):
    root = ctx.os.environ.get("GTEST_ROOT", "/usr")
    sources = root + "/src/googletest/googletest"
    headers = root + "/include/gtest"
    for folder in (sources, headers):
        if not ctx.path(folder).exists:
            fail("GoogleTest is not in %s: apt-get install libgtest-dev googletest, or set GTEST_ROOT" % folder)
    ctx.symlink(sources, "googletest")
    ctx.symlink(headers, "include/gtest")
    ctx.file("BUILD", _BUILD.format(name = ctx.name))

gtest_repository = repository_rule(
    implementation = _gtest_repository_impl,
    environ = ["GTEST_ROOT"],
    local = True,
)
