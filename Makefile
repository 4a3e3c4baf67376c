# make series:    the paper's experiment, simulated, from motors to order parameter
#                 (MONITOR=1: its page in the browser, too; the address is printed)
# make quick:     the same with three temperatures and a small detector region
# make test:      lint, types, import contracts and all tests, with the coverage of analysis and vo2_plans
# make docs:      the pages and the API reference as HTML in build/docs, to be read without a network
# make benchmark: what an iteration, the live analysis and the monitor cost on this machine; judges nothing
# make benchmark-gpu: phasing and training on an accelerator beside the CPU; without one it says so
# PYTHON=/path/to/python3 chooses the interpreter (3.11 or newer), VENV=folder the environment.

PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done || echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
WATCHED := $(if $(filter-out 0 no,$(MONITOR)),--monitor)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: series quick test docs benchmark benchmark-gpu lint clean-env python
.DEFAULT_GOAL := series

series: $(VENV)/installed
	$(BIN)/vo2 series $(WATCHED)

quick: $(VENV)/installed
	$(BIN)/vo2 series --quick $(WATCHED)

test: lint
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder --cov

docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx --quiet --builder html --conf-dir docs . build/docs
	@echo "open build/docs/index.html"

benchmark: $(VENV)/installed-dev
	$(BIN)/python tests/benchmarks/engine_cost.py
	$(BIN)/python tests/benchmarks/live_cost.py
	$(BIN)/python tests/benchmarks/monitor_cost.py
	$(BIN)/python tests/benchmarks/large_scan.py

benchmark-gpu: $(VENV)/installed
	$(BIN)/python tests/benchmarks/gpu.py

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

python:
	@command -v "$(PYTHON)" >/dev/null || { echo "Python 3.11 or newer is required and '$(PYTHON)' was not found: install Python 3.11 (with its venv module), or say where it is: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is required; $(PYTHON) is $$("$(PYTHON)" --version 2>&1): install Python 3.11, or say where it is: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) lacks the venv module: install it (Debian: python3-venv)" >&2; exit 1; }

$(VENV)/bin/python:
	@$(MAKE) --no-print-directory python
	"$(PYTHON)" -m venv "$(VENV)"

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV): once, a few minutes"
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), the test tools too: once, a few minutes"
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-docs: pyproject.toml constraints.txt | $(VENV)/installed
	@echo "installing what builds the documentation into $(VENV)"
	$(PIP) --editable '.[docs]'
	@touch $@

clean-env:
	rm -rf "$(VENV)"
