# Every target does its own set-up: a machine with Python 3.11 to 3.13 and make is enough.
PYTHON ?= python3
UV ?= uv
BIN := .venv/bin
STAMP := .venv/.installed
DOCS := .venv/.docs
# Errors only: on some machines pip warns hundreds of times of what is no fault.
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install demo serve test test-all test-rest test-deep test-lowest test-newest test-resolved test-containers \
  test-kubernetes test-programs lint docs bench scale \
  quality faults fuzz mutation release-check lock clean

# Two workers take a whole file at a time: tests of one file share servers, clusters and corpora.
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
SLOW := browser or server or long

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with the locked dependencies and the dsir command

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "make: Python 3.11, 3.12 or 3.13 is needed, $(PYTHON) is not one:" \
	    "say which to use, as in make PYTHON=python3.12 install" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(PIP) --require-hashes --no-deps -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@echo "compiling kernels (once a machine)"
	@$(BIN)/python -c "from dsir_core.shards.warm_up import warm_up; warm_up()"
	@touch $@

demo: install ## select speeches from 2,730 documents of twelve kinds, and say how well it went
	$(BIN)/dsir select demo/demo.yaml
	@$(BIN)/python scripts/demo_summary.py runs/demo/output

serve: install ## start a local Prefect server, worker and the deployments; Ctrl-C ends them (PORT=4200)
	@exec $(BIN)/python -m deployments.serve --port $(or $(PORT),4200)

test: install ## run the tests that need no browser and no server, in a few minutes
	$(PYTEST) $(PARALLEL) -m "not ($(SLOW))"

test-all: $(DOCS) test-programs ## run every test, and measure which branches they reach
	$(PYTEST) $(PARALLEL) --cov

test-rest: $(DOCS) test-programs ## run the tests that make test leaves out
	$(PYTEST) $(PARALLEL) -m "$(SLOW)"

test-deep: install ## property tests on thousands of examples, kernels with indices checked, thousands of simulated seeds
	$(PYTEST) $(PARALLEL) -m hypothesis --hypothesis-profile=deep
	NUMBA_BOUNDSCHECK=1 $(PYTEST) $(PARALLEL) tests/kernels tests/features tests/model/test_noise.py
	$(BIN)/python -m tests.simulation 0 $(or $(SEEDS),10000)

fuzz: install ## mutate valid inputs of each kind for SECONDS (60); what breaks a promise is kept (TARGETS for some kinds)
	$(BIN)/python -m tests.fuzzing $(or $(SECONDS),60) $(TARGETS)

mutation: install ## put small errors into modules and see which the tests do not notice; hours (MODULES for some)
	$(BIN)/python -m tests.mutation $(MODULES)

test-programs: install
	@$(BIN)/python -m tests.programs

test-containers: install ## build the image and run what deployments/ ships, from nothing (needs Debian and root)
	tests/containers/run.sh $(BIN)/python

test-kubernetes: install ## apply the manifests to a real API server and run flows there as jobs (needs Debian and root)
	tests/kubernetes/run.sh $(BIN)/python

lint: docs ## check format, style, types, the layers of imports, and that the site builds
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(DOCS) ## build the site of docs/ into build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(DOCS): $(STAMP) requirements-docs.lock
	$(PIP) --require-hashes --no-deps -r requirements-docs.lock
	@touch $@

bench: install ## measure speed on this machine
	$(BIN)/python -m benchmarks.run

scale: install ## measure choosing among 10^8 documents, and the driver of a run over 10^10
	$(BIN)/python -m benchmarks.scale

quality: install ## measure how well each setting selects, on labelled text from packages
	$(BIN)/python -m benchmarks.quality

faults: install ## inject faults into whole runs, and print what was survived and what it cost
	$(BIN)/python -m tests.faults.table

release-check: install ## build sdist and wheel, and try the wheel in an empty folder
	@bash scripts/release_check.sh

test-lowest: RESOLUTION := lowest-direct
test-lowest: test-resolved ## run the fast tests and those of flows with the lowest versions that pyproject.toml allows (needs uv)
test-newest: RESOLUTION := highest
test-newest: test-resolved ## run the fast tests and those of flows with the newest versions that pyproject.toml allows (needs uv)

test-resolved: install
	@mkdir -p build
	$(UV) pip compile --quiet --resolution $(RESOLUTION) --extra test --no-header pyproject.toml -o build/$(RESOLUTION).txt
	$(UV) venv --quiet --clear --seed --python $(BIN)/python build/$(RESOLUTION)
	$(UV) pip install --quiet --compile-bytecode --python build/$(RESOLUTION) -r build/$(RESOLUTION).txt
	$(UV) pip install --quiet --python build/$(RESOLUTION) --no-deps -e .
	build/$(RESOLUTION)/bin/python -m pytest $(PARALLEL) -m "not ($(SLOW))"
	build/$(RESOLUTION)/bin/python -m pytest $(PARALLEL) -m "long" tests/flows tests/tasks

lock: export UV_CUSTOM_COMPILE_COMMAND = make lock
lock: RESOLVE = $(UV) pip compile --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --quiet --upgrade
lock: ## resolve the locks anew from pyproject.toml: for make install, make docs, and the image with its extras (needs uv)
	$(RESOLVE) pyproject.toml --extra test --extra lint --group build -o requirements.lock
	$(RESOLVE) --group docs --constraint requirements.lock -o requirements-docs.lock
	$(RESOLVE) pyproject.toml --extra docker --extra kubernetes --extra slurm --constraint requirements.lock \
	  -o requirements-extras.lock

clean: ## remove .venv, caches and what runs left under runs/
	rm -rf .venv runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
