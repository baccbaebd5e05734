# Everything runs inside .venv, which is created by the first target that needs it.
#
#   make reproduce          the main job on real data     SMOKE=1: a short one   DATA=path: your own copy
#                           PROTOCOL=cold: the second protocol, users that base models have never seen
#                           PROTOCOL=global: train before a date, predict everybody's rows after it
#                           SEEDS="0 1": these random seeds   JOBS=4: in so many processes (2)
#   make publish            the main job, its results copied into benchmarks/results/
#   make tables             the long tables of all data sets, into benchmarks/results/
#                           SUITE_DATA=folder: their files     ONLY="movielens-100k-warm": some of them
#                           JOBS=4: in so many processes (2)
#   make multitask          multi-task models beside single-task ones, into benchmarks/results/multitask/
#   make test               the test suite; skips tests whose requirements are missing, with the reason
#   make test-all           the slow tests too, after installing what make browser, peers and notebooks do
#   make test-oldest-torch  engines and kernels on the oldest supported torch, in .venv-oldest-torch (6 GB)
#   make test-pythons       the same and the command line, on Python 3.11 to 3.13 and the oldest and newest torch
#   make browser            Chromium, in which the tests open the HTML report
#   make peers              the libraries that engines and multi-task models are compared with
#   make docs               the documentation as a site, into docs/_build/html/
#   make benchmark          speed compared with other libraries, into benchmarks/results/speed/
#   make fuzz               hostile and damaged files, and kills, into benchmarks/results/reliability/
#   make benchmark-peers    the libraries that base models and preparation are timed against
#   make notebooks          executes all notebooks, outputs in place     ONLY="02 04": some of them
#   make notebooks-check    executes all notebooks in a copy, and changes nothing here
#   make check              formatter, linter, type checker
#   make format             applies the formatter and the linter's fixes
#   make clean              removes .venv and everything built

PYTHON    ?= python3
VENV      := .venv
BIN       := $(VENV)/bin
STAMP     := $(VENV)/.installed
NOTEBOOKS := $(VENV)/.notebooks
PIP       := $(BIN)/python -m pip install --disable-pip-version-check -q

data_option := $(if $(DATA),--data "$(DATA)")

# Fixed, and not the number of cores: one process has two threads, which round otherwise.
JOBS ?= 2
reproduce_options := --jobs $(JOBS) $(data_option) $(if $(SEEDS),$(foreach seed,$(SEEDS),--seed $(seed)))
reproduce_options += $(if $(PROTOCOL),--protocol $(PROTOCOL))
suite_options := --set jobs=$(JOBS) $(if $(SUITE_DATA),--data-folder "$(SUITE_DATA)") $(foreach name,$(ONLY),--only $(name))

ifdef SMOKE
reproduce_options += --config benchmarks/configs/smoke.yaml
reproduce_options += --run runs/movielens-100k$(addprefix -,$(filter-out warm,$(PROTOCOL)))-smoke
endif

.PHONY: help setup reproduce publish tables multitask test test-all test-oldest-torch test-pythons
.PHONY: browser peers
.PHONY: benchmark fuzz benchmark-peers notebooks notebooks-check check docs format clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#  *\(make .*\)/  \1/p' Makefile

setup: $(STAMP)
	@echo 'next: $(BIN)/metaselector data schema YOUR.csv --output YOUR.yaml'

$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt -e '.[dev,docs,lightgbm,skops,notebook,tune,torchjd,tensorboard,mlflow,wandb]'
	@touch $@

reproduce: $(STAMP)
	$(BIN)/metaselector reproduce $(reproduce_options)

publish: $(STAMP)
	scripts/publish_results.sh $(BIN)/metaselector

tables: $(STAMP)
	$(BIN)/python -m benchmarks.tables --suite $(suite_options)

multitask: $(STAMP)
	$(BIN)/python -m benchmarks.multitask
	$(BIN)/python -m benchmarks.multitask_synthetic

PYTEST := OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: $(STAMP)
	$(PYTEST) -m 'not slow'

test-all: peers browser $(NOTEBOOKS)
	$(PYTEST)

test-oldest-torch:
	scripts/test_oldest_torch.sh

test-pythons:
	scripts/test_pythons.sh

browser:
	@scripts/install_browser.sh

PEERS := $(VENV)/.peers

peers: $(PEERS)

# The tests compare only the multi-task models of DeepCTR-Torch and torch-rechub, which need no more
# packages than this project does.
$(PEERS): $(STAMP)
	$(PIP) -c constraints.txt -e '.[higher]'
	@scripts/build_learn2learn.sh $(BIN)/python
	$(PIP) -c constraints.txt --no-deps deepctr-torch torch-rechub
	@touch $@

BENCHMARK_PEERS := $(VENV)/.benchmark-peers

benchmark: $(STAMP) peers benchmark-peers
	$(BIN)/python -m benchmarks.engine_speed --json benchmarks/results/speed/engine.json $(data_option)
	$(BIN)/python -m benchmarks.base_model_speed --json benchmarks/results/speed/base_models.json $(data_option)
	$(BIN)/python -m benchmarks.multitask_speed --threads 1 --repeats 3 --json benchmarks/results/speed/multitask.json $(data_option)
	$(BIN)/python -m benchmarks.prepare_speed --json benchmarks/results/speed/prepare.json $(data_option)
	$(BIN)/python -m benchmarks.predict_speed $(data_option)
	$(BIN)/python -m benchmarks.bootstrap_speed
	$(BIN)/python -m benchmarks.run_speed $(data_option)

fuzz: $(STAMP)
	$(BIN)/python -m benchmarks.fuzz --json benchmarks/results/reliability/fuzz.json

benchmark-peers: $(BENCHMARK_PEERS)

$(BENCHMARK_PEERS): $(STAMP)
	$(PIP) -c constraints.txt deepctr-torch torch-rechub fuxictr
	@echo 'pip may report missing requirements of learn2learn: no part that needs them is used'
	@touch $@

notebooks notebooks-check: $(NOTEBOOKS)
	@$(BIN)/metaselector data fetch movielens-100k
	$(BIN)/python notebooks/execute.py $(if $(filter notebooks-check,$@),--check) $(ONLY)

$(NOTEBOOKS): $(STAMP)
	$(PIP) -c constraints.txt -e '.[notebooks]'
	@touch $@

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Every warning is an error, dead links are warnings, and nothing is fetched.
docs: $(STAMP)
	$(BIN)/sphinx-build -q -W --keep-going -n -b html -d docs/_build/doctrees docs docs/_build/html
	@echo docs/_build/html/index.html

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info
