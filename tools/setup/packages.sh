#!/usr/bin/env bash
# Makes the virtual environment and installs the locked packages into it, hashes checked.
# usage: packages.sh PYTHON VENV
set -euo pipefail

python=$1 venv=$2
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if [ "$version" != 3.11 ]; then
  echo "$python is Python $version; requirements/all.lock is made for 3.11: make PYTHON=/path/to/python3.11" >&2
  exit 1
fi
[ -x "$venv/bin/pip" ] || "$python" -m venv --clear "$venv"
echo "Installing $(grep -c '==' requirements/all.lock) packages into $venv (once; a minute or two)"
"$venv/bin/pip" install --quiet --require-hashes --requirement requirements/all.lock
