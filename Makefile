# Everything that one types here. `make` alone lists it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test test-all lint format bench example-profile dist clean

help: ## List what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

.venv/ready: setup.cfg setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/ready ## Set up, then train and replay on a generated office
	rm -rf demo-out
	$(BIN)/entropy-ids demo --out demo-out

test: .venv/ready ## Set up, then run the tests (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile

test-all: .venv/ready ## Run all tests, the slow ones too, on newly drawn examples
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest

lint: .venv/ready ## Check style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/ready ## Put the code into its style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/ready ## Measure speed and memory, as ratios within one run
	$(BIN)/python -m tests.bench

example-profile: .venv/ready ## Make profiles/example-office anew
	rm -rf build/example-office profiles/example-office
	$(BIN)/entropy-ids simulate build/example-office --days 8 --start 2026-03-07
	$(BIN)/entropy-ids train build/example-office --sensor office --profile profiles/example-office

dist: .venv/ready ## Build a wheel
	$(BIN)/python -m pip wheel --quiet --no-deps -w dist .

clean: ## Remove what make made
	rm -rf .venv demo-out build dist *.egg-info
