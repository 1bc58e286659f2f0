# tfcass: what a developer types. Every target does the set-up it needs by itself, once; a second run skips what is done.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export TFCASS_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tfcass
export PYTHON_BIN_PATH := $(CURDIR)/$(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

OP_SOURCES := $(shell find ops third_party benchmarks/BUILD benchmarks/*.cc -type f 2>/dev/null) WORKSPACE BUILD .bazelrc

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup  ## The whole way: Cassandra, slides, patches, splits, training on two processes, out/report.html
	$(BIN)/tfcass demo run $(DEMO_FLAGS)

.PHONY: test
test: setup $(VENV)/.simulacron $(VENV)/.flink  ## C++ tests (Bazel), then Python tests against a real Cassandra that they start and stop
	bazel test //ops/...
	$(BIN)/pytest $(TEST_FLAGS)

.PHONY: sanitize
sanitize: setup  ## The C++ tests under the address, undefined-behaviour and thread sanitizers
	bazel test --config=asan //ops/driver/... //ops/fetch/... //ops/decode:tests
	bazel test --config=tsan //ops/driver/... //ops/fetch/... //ops/decode:tests

FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: $(VENV)/.packages  ## Changed files into the TIFF decoder for FUZZ_SECONDS (60), under sanitizers; brings clang
	@tools/setup/system_packages.sh $(PYTHON) fuzz
	@tools/fuzz/tiff.sh $(BIN)/python out/fuzz $(FUZZ_SECONDS)

.PHONY: bench
bench: setup  ## Measure; NAME='tiny wan' for some, BENCH_FLAGS=--quick to see that all runs, --list to see what there is
	$(BIN)/python -m benchmarks $(NAME) $(BENCH_FLAGS)

.PHONY: bench-plot
bench-plot: $(VENV)/.project  ## Draw what was measured and put its numbers into docs/performance.md
	$(BIN)/python -m benchmarks.report

.PHONY: lint
lint: $(VENV)/.packages  ## Check layout and common mistakes of the Python code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: $(VENV)/.packages  ## Lay out the Python code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: wheel
wheel: setup  ## Build dist/tfcass-*.whl, which carries the op library
	$(BIN)/pip wheel --no-deps --no-build-isolation -w dist .

.PHONY: setup
setup: system-packages $(VENV)/.horovod $(VENV)/.project $(VENV)/.ops $(VENV)/.jars  ## All of the set-up and nothing else

.PHONY: system-packages
system-packages:
	@tools/setup/system_packages.sh $(PYTHON)

$(VENV)/.packages: requirements/all.lock | system-packages
	tools/setup/packages.sh $(PYTHON) $(VENV)
	@touch $@

$(VENV)/.horovod: requirements/horovod.lock tools/setup/horovod.sh $(VENV)/.packages
	tools/setup/horovod.sh $(VENV)
	@touch $@

$(VENV)/.project: pyproject.toml setup.py $(VENV)/.packages
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.ops: $(OP_SOURCES) $(VENV)/.packages
	bazel build //ops:all //benchmarks:all
	@touch $@

$(VENV)/.jars: tfcass/devcluster/pom.xml $(VENV)/.project
	$(BIN)/python -m tfcass.devcluster.jars
	@touch $@

$(VENV)/.simulacron: tests/support/simulacron_pom.xml $(VENV)/.project
	$(BIN)/python -m tests.support.simulacron
	@touch $@

$(VENV)/.flink: tests/support/flink_pom.xml $(VENV)/.project
	$(BIN)/python -m tests.support.flink
	@touch $@

.PHONY: lock
lock:  ## Renew requirements/*.lock from requirements/*.in
	tools/setup/lock.sh $(PYTHON)

.PHONY: clean
clean:  ## Remove what the targets above made here (the caches in the home folder stay)
	-bazel clean --expunge
	rm -rf $(VENV) out dist build benchmarks/out *.egg-info
