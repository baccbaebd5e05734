# Everything runs inside .venv, which the first target that needs it makes.
#
#   make reproduce          the main job on real data     SMOKE=1: a short one   DATA=path: your own copy
#   make publish            the main job, its results copied into benchmarks/results/
#   make test               the test suite
#   make check              formatter, linter, type checker
#   make format             let the formatter and linter mend what they can

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

reproduce_options := $(if $(DATA),--data "$(DATA)") $(if $(SEEDS),$(foreach seed,$(SEEDS),--seed $(seed)))
ifdef SMOKE
reproduce_options += --config benchmarks/configs/smoke.yaml --run runs/movielens-100k-smoke
endif

.PHONY: setup reproduce publish test test-all check format clean
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n 's/^#  *\(make .*\)/  \1/p' Makefile

setup: $(STAMP)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	@touch $@

reproduce: $(STAMP)
	$(BIN)/metaselector reproduce $(reproduce_options)

PUBLISHED := config.yaml environment.json results.csv differences.csv summary.md figures/comparison.png

publish: $(STAMP)
	rm -rf runs/movielens-100k
	$(BIN)/metaselector reproduce
	mkdir -p benchmarks/results/movielens-100k
	cp $(addprefix runs/movielens-100k/,$(PUBLISHED)) benchmarks/results/movielens-100k/

test: $(STAMP)
	$(BIN)/python -m pytest -m 'not slow'

test-all: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info
