# Everything runs inside .venv, which the first target that needs it makes.
#
#   make reproduce          the main job on real data     SMOKE=1: a short one   DATA=path: your own copy
#                           PROTOCOL=cold: the second protocol, users that base models have never seen
#   make publish            the main job, its results copied into benchmarks/results/
#   make tables             the long table over five seeds, into benchmarks/results/movielens-100k-warm/
#   make multitask          multi-task models beside single-task ones, into benchmarks/results/multitask/
#   make test               the test suite; tests that need what is not installed are skipped, with the reason
#   make test-all           the slow tests too, and what the next two bring
#   make browser            Chromium, in which the tests look at the HTML report
#   make peers              the libraries that engines and multi-task models are tested beside
#   make docs               this documentation as a site, into docs/_build/html/
#   make benchmark          speed beside other libraries, into benchmarks/results/speed/
#   make fuzz               hostile and damaged files, and kills, into benchmarks/results/reliability/
#   make benchmark-peers    the libraries that base models and preparation are timed beside
#   make notebooks          executes them all, outputs in place     ONLY="02 04": some of them
#   make notebooks-check    executes them all elsewhere, and changes nothing here
#   make check              formatter, linter, type checker
#   make format             let the formatter and linter mend what they can

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

reproduce_options := $(if $(DATA),--data "$(DATA)") $(if $(SEEDS),$(foreach seed,$(SEEDS),--seed $(seed)))
reproduce_options += $(if $(PROTOCOL),--protocol $(PROTOCOL))
ifdef SMOKE
reproduce_options += --config benchmarks/configs/smoke.yaml
reproduce_options += --run runs/movielens-100k$(if $(filter cold,$(PROTOCOL)),-cold)-smoke
endif

.PHONY: setup reproduce publish peers test test-all check format clean
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n 's/^#  *\(make .*\)/  \1/p' Makefile

setup: $(STAMP)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,docs,lightgbm,tune,torchjd,tensorboard,mlflow,wandb]'
	@touch $@

reproduce: $(STAMP)
	$(BIN)/metaselector reproduce $(reproduce_options)

PUBLISHED := config.yaml environment.json results.csv differences.csv summary.md

publish: $(STAMP)
	rm -rf runs/movielens-100k
	$(BIN)/metaselector reproduce
	$(BIN)/metaselector analyse
	mkdir -p benchmarks/results/movielens-100k
	cp $(addprefix runs/movielens-100k/,$(PUBLISHED)) benchmarks/results/movielens-100k/
	rm -rf benchmarks/results/movielens-100k/analysis
	cp -r runs/movielens-100k/analysis runs/movielens-100k/figures benchmarks/results/movielens-100k/
	rm benchmarks/results/movielens-100k/analysis/rows.csv

.PHONY: tables
tables: $(STAMP)
	$(BIN)/python -m benchmarks.tables --dataset movielens-100k --protocol warm --seeds 5 $(if $(DATA),--data "$(DATA)")

.PHONY: multitask
multitask: $(STAMP)
	$(BIN)/python -m benchmarks.multitask
	$(BIN)/python -m benchmarks.multitask_synthetic

PYTEST := OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n auto --dist loadfile

test: $(STAMP)
	$(PYTEST) -m 'not slow'

test-all: peers browser
	$(PYTEST)

.PHONY: browser
browser:
	@if [ -n "$$METASELECTOR_CHROMIUM" ]; then exit 0; fi; \
	for name in chromium chromium-browser google-chrome; do \
	  if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null; \
	else \
	  echo 'there is no browser: install Chromium or Chrome (Debian: apt-get install chromium), or' >&2; \
	  echo 'name its program in METASELECTOR_CHROMIUM' >&2; \
	  exit 1; \
	fi

# Of DeepCTR-Torch and torch-rechub, the tests read the multi-task models, which need no more than
# ours. learn2learn's source archive holds C files that Python 3.11 and newer cannot compile. With .pyx
# files newer than those, Cython before 3 makes them anew. Most of its requirements are for parts that
# we do not use.
PEERS         := $(VENV)/.peers
PEERS_BUILDER := Cython==0.29.37 setuptools==69.5.1 wheel==0.43.0
PEERS_PIP     := python -m pip install --disable-pip-version-check -q

peers: $(PEERS)

$(PEERS): $(STAMP)
	$(BIN)/$(PEERS_PIP) -c constraints.txt -e '.[higher]'
	@set -e; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	echo 'building learn2learn 0.2.0'; \
	$(BIN)/python -m venv "$$work/venv"; \
	"$$work/venv/bin/"$(PEERS_PIP) $(PEERS_BUILDER); \
	"$$work/venv/bin/python" -m pip download --disable-pip-version-check -q --no-deps \
	  --no-build-isolation --no-binary learn2learn -d "$$work" learn2learn==0.2.0; \
	tar -xzf "$$work/learn2learn-0.2.0.tar.gz" -C "$$work"; \
	find "$$work/learn2learn-0.2.0/learn2learn" -name '*.pyx' -exec touch {} +; \
	(cd "$$work/learn2learn-0.2.0" && \
	  "$$work/venv/bin/python" setup.py -q build_ext bdist_wheel) >"$$work/log" 2>&1 \
	  || { cat "$$work/log" >&2; exit 1; }; \
	$(BIN)/$(PEERS_PIP) --no-deps --force-reinstall "$$work"/learn2learn-0.2.0/dist/*.whl
	$(BIN)/$(PEERS_PIP) -c constraints.txt --no-deps deepctr-torch torch-rechub
	@touch $@

BENCHMARK_PEERS := $(VENV)/.benchmark-peers

benchmark_options := $(if $(DATA),--data "$(DATA)")

.PHONY: benchmark
benchmark: $(STAMP) peers benchmark-peers
	$(BIN)/python -m benchmarks.engine_speed --json benchmarks/results/speed/engine.json $(benchmark_options)
	$(BIN)/python -m benchmarks.base_model_speed --json benchmarks/results/speed/base_models.json $(benchmark_options)
	$(BIN)/python -m benchmarks.multitask_speed --threads 1 --repeats 3 --json benchmarks/results/speed/multitask.json $(benchmark_options)
	$(BIN)/python -m benchmarks.prepare_speed --json benchmarks/results/speed/prepare.json $(benchmark_options)

.PHONY: fuzz
fuzz: $(STAMP)
	$(BIN)/python -m benchmarks.fuzz --json benchmarks/results/reliability/fuzz.json

.PHONY: benchmark-peers
benchmark-peers: $(BENCHMARK_PEERS)

$(BENCHMARK_PEERS): $(STAMP)
	$(BIN)/$(PEERS_PIP) -c constraints.txt deepctr-torch torch-rechub fuxictr
	@echo 'requirements of learn2learn that pip misses are for parts of it that we do not use'
	@touch $@

NOTEBOOKS := $(VENV)/.notebooks

.PHONY: notebooks notebooks-check
notebooks notebooks-check: $(NOTEBOOKS)
	@$(BIN)/metaselector data fetch movielens-100k
	$(BIN)/python notebooks/execute.py $(if $(filter notebooks-check,$@),--check) $(ONLY)

$(NOTEBOOKS): $(STAMP)
	$(BIN)/$(PEERS_PIP) -c constraints.txt -e '.[notebooks]'
	@touch $@

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Every warning is an error, and nothing is fetched.
.PHONY: docs
docs: $(STAMP)
	$(BIN)/sphinx-build -q -W --keep-going -n -b html -d docs/_build/doctrees docs docs/_build/html
	@echo docs/_build/html/index.html

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info
