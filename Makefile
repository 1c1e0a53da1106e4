# `make search` and `make test` create the environment that they need.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
# Hides setuptools' general warning about editable installations, which fills a screen.
INSTALL = PYTHONWARNINGS='ignore:Editable installation' \
    $(PIP) install --quiet --constraint constraints.txt
STUDY ?= digits
# One process per core. All tests of a file run in one process, which shares its servers and
# databases. tests/conftest.py sets the order of the files.
PYTEST = $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

ifeq ($(OS),Windows_NT)
$(error retrial does not run on native Windows: use WSL \
    (https://learn.microsoft.com/windows/wsl/install), Linux or macOS)
endif

.PHONY: help search test test-all check format ui reproduce bench docs install clean

help:            ## list the targets
	@awk -F ':.*##' '/^[a-z-]+:.*##/ { printf "  make %s\t%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

search: $(VENV)/runtime   ## run the default study (STUDY=mnist-mlp for another)
	$(BIN)/retrial search $(STUDY)

reproduce: $(VENV)/runtime ## train the best trial again and compare every epoch
	$(BIN)/retrial reproduce best --study $(STUDY)

ui: $(VENV)/runtime       ## start the MLflow UI on the store
	$(BIN)/retrial ui

test: $(VENV)/test        ## run the tests, without the slow ones
	$(PYTEST) -m "not slow"

test-all: $(VENV)/test    ## run all tests
	$(PYTEST) --durations 30

check: $(VENV)/test       ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/test      ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/test       ## run the benchmarks, compared with PyTorch if it is installed
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks

docs: $(VENV)/test        ## build the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

install: $(VENV)/test     ## only create the environment

clean:           ## remove the environment, never the store
	rm -rf $(VENV)

# Installation. A marker file in the environment records that a set of packages is installed; the set
# is installed again when the pinned versions or the dependencies change.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "retrial needs Python 3.11 or later, $(PYTHON) is $$($(PYTHON) --version);" \
	           "try make PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: constraints.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV); this happens once"
	$(INSTALL) --upgrade pip
	$(INSTALL) --editable .
	@touch $@

$(VENV)/test: $(VENV)/runtime
	$(INSTALL) --group test --group lint --group docs --editable '.[cmaes,dask,lightgbm,onnx,postgresql,sklearn]'
	@touch $@
