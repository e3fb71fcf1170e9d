# Everything that a fresh machine with Python and make needs: `make demo`, `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo

# What test-lowest and test-newest run, and with what; each has an environment of its own, and runs on the checkout.
LOWEST ?= .venv-lowest
NEWEST ?= .venv-newest
# Another Python than the rest, if wanted.
NEWEST_PYTHON ?= $(PYTHON)
# PyPI's builds of torch for Linux take gigabytes; CI gives the build that it has.
LOWEST_TORCH ?= $(shell sed -n 's/^torch>=/torch==/p' requirements.txt)
UNIT_TESTS ?= testing/unit_tests
TEST_TOOLS := pytest pytest-xdist hypothesis jsonschema pybids
# One process per core, with one thread each: threads of several processes would only wait for each other.
PYTEST := -m pytest -q -n auto --maxprocesses 8 --dist loadfile

.PHONY: help demo test lint types docs pytest test-lowest test-newest clean

help:  ## Show this help.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# Torch first and by itself: with it in place, no other package pulls a build that does not fit.
$(VENV)/.installed: requirements.txt requirements_dev.txt requirements_docs.txt constraints.txt pyproject.toml
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

pytest: $(VENV)/.installed
	@[ -n "$$(which chromium chromium-browser google-chrome 2>/dev/null)" ] || echo "No Chromium on PATH: the tests that open report.html in a browser are skipped."
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST)

test-lowest: $(LOWEST)/.installed  ## Run the unit tests with the lowest versions that requirements.txt admits.
	PYTHONPATH=$(CURDIR) OMP_NUM_THREADS=1 $(LOWEST)/bin/python $(PYTEST) $(UNIT_TESTS)

test-newest: $(NEWEST)/.installed  ## Run them with the newest releases, of another Python by NEWEST_PYTHON=python3.13.
	PYTHONPATH=$(CURDIR) OMP_NUM_THREADS=1 $(NEWEST)/bin/python $(PYTEST) $(UNIT_TESTS)

requirements-lowest.txt: requirements.txt
	sed -n 's/>=/==/p' $< > $@

$(LOWEST)/.installed: requirements-lowest.txt
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check $(LOWEST_TORCH)
	grep -v '^torch==' $< | $(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -r /dev/stdin $(TEST_TOOLS)
	touch $@

$(NEWEST)/.installed: requirements.txt
	$(NEWEST_PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check -r $< $(TEST_TOOLS)
	touch $@

clean:  ## Remove the environment, the demo and the built documentation.
	rm -rf $(VENV) $(LOWEST) $(NEWEST) requirements-lowest.txt $(DEMO) docs/_build docs/configuration
