# Two commands: `make demo` shows what the hub does, `make test` proves it. Both set up what they need.
SHELL := /bin/sh
PYTHON ?= $(shell sh tools/find-python)
VENV := .venv
BIN := $(VENV)/bin
DEMO_HOME ?= $(CURDIR)/.hubkernel

.PHONY: demo notebook test lint types core services interpreters benchmarks clean

demo: $(VENV)/.installed  ## dump, upload, build, index and query the Human Phenotype Ontology
	@$(BIN)/hubkernel --home "$(DEMO_HOME)" demo
	@echo "Or in JupyterLab, with this hub: make notebook"

notebook: $(VENV)/.installed-lab  ## JupyterLab on the demo's hub
	HUBKERNEL_HOME="$(DEMO_HOME)" $(BIN)/jupyter lab notebooks/01-first-hub.ipynb

test: $(VENV)/.installed-dev lint types core services interpreters  ## everything, on every interpreter there is
	@echo "make test: all passed"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-dev
	$(BIN)/mypy

core: $(VENV)/.installed-dev  ## what plain `pytest` runs: no service needed
	$(BIN)/python -m pytest -m "not service"

services: $(VENV)/.installed-dev  ## what needs a real server; the tests fetch and start it
	$(BIN)/python -m tests.services
	HUBKERNEL_REQUIRE_SERVICES=1 $(BIN)/python -m pytest -m service

interpreters: $(VENV)/.installed-dev  ## the core suite on the other interpreters of this machine
	$(BIN)/python tools/interpreters.py

benchmarks: $(VENV)/.installed-dev  ## ours against the peer and the physical limit (about half an hour)
	for name in startup upload helpers build search doors; do $(BIN)/python -m benchmarks.$$name || exit 1; done

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "hubkernel needs Python 3.11 or newer: install it, or say make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-lab: pyproject.toml $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[lab]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .cache .hubkernel build dist .mypy_cache .ruff_cache .pytest_cache
