#!/usr/bin/env bash
# Installs Horovod, which has to be compiled against the TensorFlow in the environment; the wheel is kept in the cache.
# usage: horovod.sh VENV
set -euo pipefail

venv=$1
key=$("$venv/bin/python" - <<'PY'
import hashlib, importlib.metadata, pathlib, sys
lock = hashlib.sha256(pathlib.Path("requirements/horovod.lock").read_bytes()).hexdigest()[:12]
print(f"tf{importlib.metadata.version('tensorflow-cpu')}-cp{sys.version_info.major}{sys.version_info.minor}-{lock}")
PY
)
wheels=$TFCASS_CACHE/wheels/$key
if ! compgen -G "$wheels/horovod-*.whl" >/dev/null; then
  log=$TFCASS_CACHE/wheels/horovod-build.log
  echo "Compiling Horovod (once; about three minutes; log: $log)"
  mkdir -p "$TFCASS_CACHE/wheels"
  building=$(mktemp -d "$TFCASS_CACHE/wheels/building.XXXXXX")
  trap 'rm -rf "$building"' EXIT
  # Gloo alone: the processes talk over TCP and no MPI is needed. Old CMake files inside want the policy named.
  if ! PATH=$PWD/$venv/bin:$PATH MAKEFLAGS=-j$(nproc) CMAKE_POLICY_VERSION_MINIMUM=3.5 \
    HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1 \
    "$venv/bin/pip" wheel --no-deps --no-build-isolation --require-hashes --requirement requirements/horovod.lock \
    --wheel-dir "$building" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "Horovod did not compile; the whole log is $log" >&2
    exit 1
  fi
  mkdir -p "$wheels"
  mv "$building"/horovod-*.whl "$wheels/"
fi
"$venv/bin/pip" install --quiet --no-deps --force-reinstall "$wheels"/horovod-*.whl
