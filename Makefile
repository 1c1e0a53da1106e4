# Everything starts here: `make search` and `make test` set themselves up.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
# Without setuptools' general word of caution about editable installations, a screen of its own.
INSTALL = PYTHONWARNINGS='ignore:Editable installation' \
    $(PIP) install --quiet --constraint constraints.txt
STUDY ?= digits
# One process a core; a file stays in one process, which shares its servers and databases. Their
# order is that of tests/conftest.py.
PYTEST = $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

.PHONY: help search test test-all check format ui reproduce bench install clean

help:            ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*##/  make \1\t/p' $(MAKEFILE_LIST)

search: $(VENV)/runtime   ## run the default study (STUDY=mnist-mlp for another)
	$(BIN)/retrial search $(STUDY)

reproduce: $(VENV)/runtime ## train the best trial again and compare
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

bench: $(VENV)/test       ## measure; with PyTorch beside it where it is installed
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks

install: $(VENV)/test     ## only set up

clean:           ## remove the environment, never the store
	rm -rf $(VENV)

# Setting up. A file in the environment says that a set is installed; it is installed again when
# the pinned versions or the dependencies change.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "retrial needs Python 3.11 or later, $(PYTHON) is $$($(PYTHON) --version);" \
	           "accepted is e.g. make PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: constraints.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV), once"
	$(INSTALL) --upgrade pip
	$(INSTALL) --editable .
	@touch $@

$(VENV)/test: $(VENV)/runtime
	$(INSTALL) --group test --group lint --editable '.[cmaes,dask,onnx,postgresql]'
	@touch $@
