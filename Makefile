# make series: the paper's experiment, simulated, from motors to order parameter
# make quick:  the same with three temperatures and a small detector region
# make test:   lint, types, import contracts and all tests
# PYTHON=/path/to/python3.11 chooses the interpreter, VENV=folder the environment.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: series quick test lint clean-env python
.DEFAULT_GOAL := series

series: $(VENV)/installed
	$(BIN)/vo2 series

quick: $(VENV)/installed
	$(BIN)/vo2 series --quick

test: lint
	$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist loadfile --ignore tests/benchmarks
	$(BIN)/pytest tests/benchmarks  # alone: they measure time

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

python:
	@command -v "$(PYTHON)" >/dev/null || { echo "Python 3.11 is required and '$(PYTHON)' was not found: install Python 3.11 (with its venv module), or say where it is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is required; $(PYTHON) is $$("$(PYTHON)" --version 2>&1): install Python 3.11, or say where it is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) lacks the venv module: install it (Debian: python3.11-venv)" >&2; exit 1; }

$(VENV)/bin/python:
	@$(MAKE) --no-print-directory python
	"$(PYTHON)" -m venv "$(VENV)"

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV): once, a few minutes"
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/installed
	@echo "installing the test tools into $(VENV)"
	$(PIP) --editable '.[dev]'
	@touch $@

clean-env:
	rm -rf "$(VENV)"
