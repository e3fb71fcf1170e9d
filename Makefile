# Everything that a fresh machine with Python and make needs: `make demo`, `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo

.PHONY: help demo test lint types docs pytest clean

help:  ## Show this help.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# Torch first and by itself: with it in place, no other package pulls a build that does not fit.
$(VENV)/.installed: requirements.txt requirements_dev.txt requirements_docs.txt constraints.txt setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements.txt -r requirements_dev.txt -r requirements_docs.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

demo: $(VENV)/.installed  ## Phantom data, train, test, segment, pictures: under 5 minutes on 2 cores.
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m ivadomed.scripts.demo -o $(DEMO)

test: lint types docs pytest  ## Lint, type-check, build the documentation and run all tests.

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy ivadomed

docs: $(VENV)/.installed  ## Build the documentation into docs/_build/html; a warning is an error.
	$(BIN)/sphinx-build -q -W --keep-going -j auto docs docs/_build/html

# One process per core, with one thread each: threads of several processes would only wait for each other.
pytest: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadfile

clean:  ## Remove the environment, the demo and the built documentation.
	rm -rf $(VENV) $(DEMO) docs/_build
