# Every target does its own set-up: a machine with Python 3.11 to 3.13 and make is enough.
PYTHON ?= python3
UV ?= uv
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo serve test test-all lint bench scale quality faults lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with the locked dependencies and the dsir command

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "make: Python 3.11, 3.12 or 3.13 is needed, $(PYTHON) is not one:" \
	    "say which to use, as in make PYTHON=python3.12 install" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## select speeches from 2,730 documents of twelve kinds, and say how well it went
	$(BIN)/dsir select demo/demo.yaml
	@$(BIN)/python scripts/demo_summary.py runs/demo/output

serve: install ## start a local Prefect server, worker and the deployments; Ctrl-C ends them (PORT=4200)
	@exec $(BIN)/python -m deployments.serve --port $(or $(PORT),4200)

test: install ## run the tests, without those that take minutes
	$(BIN)/python -m pytest -m "not long"

test-all: install ## run every test
	$(BIN)/python -m pytest

lint: install ## check format, style, types and the layers of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install ## measure speed on this machine
	$(BIN)/python -m benchmarks.run

scale: install ## measure choosing among 10^8 documents, and the driver of a run over 10^10
	$(BIN)/python -m benchmarks.scale

quality: install ## measure how well each setting selects, on labelled text from packages
	$(BIN)/python -m benchmarks.quality

faults: install ## inject faults into whole runs, and print what was survived and what it cost
	$(BIN)/python -m tests.faults.table

lock: ## resolve requirements.lock anew from pyproject.toml (needs uv)
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile pyproject.toml --extra test --extra lint --group build \
	  --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --quiet --upgrade -o requirements.lock

clean: ## remove .venv, caches and what runs left under runs/
	rm -rf .venv runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
