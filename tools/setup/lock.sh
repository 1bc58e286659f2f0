#!/usr/bin/env bash
# Renews the locks: exact versions with the hashes of their files, and no address of any registry.
# usage: lock.sh PYTHON
set -euo pipefail

tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
"$1" -m venv "$tool"
"$tool/bin/pip" install --quiet uv
lock() { "$tool/bin/uv" pip compile --quiet --no-header --python-version 3.11 --generate-hashes "$@"; }
lock requirements/all.in --output-file requirements/all.lock
lock requirements/horovod.in --no-deps --output-file requirements/horovod.lock
