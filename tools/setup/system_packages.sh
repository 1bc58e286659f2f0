#!/usr/bin/env bash
# Sees to it that the Debian packages are there: installs them as root, else says which are missing and how to get them.
# usage: system_packages.sh PYTHON [fuzz]      fuzz: what `make fuzz` needs besides
set -euo pipefail

python=${1:-python3.11}
missing=()

need_command() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need_file() { [ -e "$1" ] || missing+=("$2"); }

need_command g++ g++
need_command make make
# The compiler knows where Debian keeps the headers of this kind of machine.
printf '#include <tiffio.h>\n' | g++ -E -x c++ - >/dev/null 2>&1 || missing+=(libtiff-dev)
need_command bazel bazel-bootstrap
need_command java openjdk-17-jre-headless
need_command mvn maven
need_file /usr/include/gtest/gtest.h libgtest-dev
need_file /usr/src/googletest/googletest googletest
if ! command -v "$python" >/dev/null 2>&1; then
  missing+=(python3.11 python3.11-venv python3.11-dev)
else
  "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3.11-venv)
  "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"))' ||
    missing+=(python3.11-dev)
fi
if [ "${2:-}" = fuzz ]; then
  printf 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }\n' |
    clang++ -fsanitize=fuzzer,address -x c++ - -o /dev/null >/dev/null 2>&1 || missing+=(clang libclang-rt-14-dev)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  printf 'Missing on this machine: %s\nOn Debian 12 this brings them:\n  sudo %s\n' "${missing[*]}" "$install" >&2
  exit 1
fi
echo "Installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
$install -qq >/dev/null
