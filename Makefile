# One target per capability; `make` lists them. Everything runs in .venv, which every target makes if needed.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(VENV) $(BIN)/uv pip
READY := $(VENV)/.ready

export PROFILE ?= sample
export DATASET_SOURCE DATASET_PATH
ARGS ?=
RUN ?=
STEP ?= controller

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z][a-z._-]*:.*## / { \
	  line = sprintf("  %-23s", $$1); split($$2, words, " "); \
	  if (length($$1) > 23) { print line; line = sprintf("%25s", "") } \
	  for (i = 1; i in words; i++) { \
	    if (length(line) + length(words[i]) > 78) { print line; line = sprintf("%25s", "") } \
	    line = line " " words[i] \
	  } \
	  print line }' Makefile
	@printf '\n  PROFILE=sample|full|gpu  DATASET_SOURCE=sample|local|kaggle\n'
	@printf '  DATASET_PATH=/folder  ARGS="--set key=value"\n'
	@printf '  versions of output/best: make -f Makefile.dvc\n'

##@ Start here: make train.pipeline, then make status
.PHONY: setup
setup: $(READY) ## create .venv with the locked dependencies

LOCKED := set -o pipefail; $(UV) install --compile-bytecode
# The downloads, without the list of all packages.
SHOWN := 2>&1 | sed '/^ [+-] /d'

# With UV_TORCH_BACKEND set (cpu, auto, cu130, ...) uv takes torch from an index whose wheels have other hashes
# and other CUDA libraries: then the lock gives the versions and the CUDA libraries are left to torch.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
ifdef UV_TORCH_BACKEND
	grep -E '^[a-zA-Z0-9]' requirements.lock | sed 's/ *\\$$//' | grep -vE '^(nvidia-|cuda-|triton)' > $(VENV)/versions.txt
	$(LOCKED) --requirements $(VENV)/versions.txt $(SHOWN)
else
	$(LOCKED) --require-hashes --requirements requirements.lock $(SHOWN)
endif
	$(UV) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: train.pipeline
train.pipeline: $(READY) ## run the whole pipeline: from the chips to output/best
	@$(BIN)/python -m pipeline run $(ARGS)

##@ Data, single models, comparison
.PHONY: upload.dataset_from_url_to_clearml
upload.dataset_from_url_to_clearml: $(READY) ## download the Kaggle dataset and register it in ClearML, once
	@DATASET_SOURCE=kaggle $(BIN)/python -m pipeline upload $(ARGS)

.PHONY: upload.dataset_from_local_to_clearml
upload.dataset_from_local_to_clearml: $(READY) ## register the folder DATASET_PATH (dataset/) in ClearML, once
	@DATASET_SOURCE=local DATASET_PATH="$(or $(DATASET_PATH),dataset)" $(BIN)/python -m pipeline upload $(ARGS)

.PHONY: train sweep select_best_model run.modelling experiments
train: $(READY) ## train and test one model here, as one ClearML task: MODEL=name or position
	@$(BIN)/python -m pipeline train --model "$(MODEL)" $(ARGS)

sweep: $(READY) ## search settings by trainings of one model: RANGES="learning_rate=1e-4..1e-2" BUDGET=30 MODEL=
	@$(BIN)/python -m pipeline sweep --model "$(MODEL)" --ranges "$(RANGES)" $(if $(BUDGET),--budget $(BUDGET)) $(ARGS)

select_best_model: $(READY) ## install the best model in output/best: by valid_f2, or MODEL=name, TASK=id
	@$(BIN)/python -m pipeline select --model "$(MODEL)" --task "$(TASK)" $(ARGS)

# ARGS goes to all three commands, and --set is all that they have in common.
run.modelling: $(READY) ## register the chips, train one model (MODEL=), then select_best_model
	@$(if $(filter-out --set,$(filter --%,$(ARGS))),$(error run.modelling takes only --set in ARGS))
	@$(BIN)/python -m pipeline upload $(ARGS)
	@$(MAKE) --no-print-directory train
	@$(MAKE) --no-print-directory select_best_model MODEL= TASK=

experiments: $(READY) ## write experiments.md: every evaluated model with settings, F2 and links
	@$(BIN)/python -m pipeline experiments $(ARGS)

##@ Runs
.PHONY: resume fetch logs retrain
resume: $(READY) ## continue a run that failed or was stopped: RUN=id, default the last one
	@$(BIN)/python -m pipeline resume $(RUN) $(ARGS)

fetch: $(READY) ## put the results of a run, such as one started from the page, into output: RUN=id, default the last one
	@$(BIN)/python -m pipeline fetch $(RUN) $(ARGS)

logs: $(READY) ## print the console of a step: STEP=train_resnet10t ARGS=-f
	@$(BIN)/python -m pipeline logs $(STEP) $(ARGS)

retrain: $(READY) ## start a run on each new version of the dataset
	@$(BIN)/python -m pipeline retrain $(ARGS)

##@ This machine: server, workers, containers
.PHONY: up down status doctor env
up: $(READY) ## start the embedded server and this machine's workers
	@$(BIN)/python -m pipeline up $(ARGS)

down: ## stop the embedded server, the workers and their steps; containers too
	@test ! -e $(READY) || $(BIN)/python -m pipeline down
	@COMPOSE="$(COMPOSE)" docker/down.sh

COMPOSE ?= docker compose
.PHONY: run.cpu run.gpu
run.cpu: ## build the images, run the pipeline in containers, fetch output/
	@COMPOSE="$(COMPOSE)" docker/run.sh cpu $(ARGS)

run.gpu: ## likewise, with a worker per NVIDIA GPU
	@COMPOSE="$(COMPOSE)" docker/run.sh gpu $(ARGS)
run.gpu: PROFILE := $(if $(filter sample,$(PROFILE)),gpu,$(PROFILE))

status: $(READY) ## show what runs here, and the last run: each step and why it ran
	@$(BIN)/python -m pipeline status $(ARGS)

doctor: $(READY) ## check what a run needs; each failed check prints a fix
	@$(BIN)/python -m pipeline doctor $(ARGS)

env: $(READY) ## print the exports for other ClearML programs: eval "$(make -s env)"
	@$(BIN)/python -m pipeline env

##@ The model in use
.PHONY: predict submission push demo
USE = $(if $(OUT),--out "$(OUT)") $(if $(BUNDLE),--bundle "$(BUNDLE)") $(ARGS)
predict: $(READY) ## predict tags and probabilities for a folder: IMAGES=/folder OUT=predictions.csv BUNDLE=output/best
	@$(BIN)/python -m pipeline predict "$(IMAGES)" $(USE)

submission: $(READY) ## write the Kaggle submission: DATASET_PATH=/folder OUT=submission.csv BUNDLE=output/best
	@$(BIN)/python -m pipeline submission $(USE)

push: $(READY) ## push a bundle to the Hugging Face Hub: REPO=owner/name PUBLIC=1 BUNDLE=output/best
	@$(BIN)/python -m pipeline push "$(REPO)" $(if $(PUBLIC),--public) $(USE)

DEMO := .venv-demo
demo: $(READY) ## open a page to try the model in: BUNDLE=output/best ARGS="--port 8000"
	@test -x $(DEMO)/bin/python || $(PYTHON) -m venv $(DEMO)
	@VIRTUAL_ENV=$(DEMO) $(BIN)/uv pip install --quiet --group demo
	@$(DEMO)/bin/python -m planets demo $(USE)

QUEUE ?= gpu
GPUS ?= auto
##@ More machines
.PHONY: worker
worker: $(READY) ## register this machine as a worker: QUEUE=gpu GPUS=all|none|0,1; SYSTEMD=1 prints a unit
	@$(BIN)/python -m pipeline worker --queue $(QUEUE) --gpus $(GPUS) $(if $(SYSTEMD),--systemd) $(ARGS)

##@ Development
.PHONY: lint
lint: $(READY) ## run the linters, the type checker and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Most tests wait for processes, so two test processes share a core. A module's tests stay in one process.
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder
PYTEST = $(BIN)/python -m pytest $(PARALLEL) $(ARGS)
TOGETHER := @$(MAKE) --no-print-directory --jobs 2

.PHONY: test test.rest test.all
test: $(READY) ## run the linters and all tests but the slow ones; ARGS="tests/server -k queues"
	$(TOGETHER) lint test.quick

test.rest: $(READY) ## run the slow tests
	$(PYTEST) -m slow

test.all: $(READY) ## run the linters and every test; at least 90 % of the lines are covered, 85 % of the server
	$(TOGETHER) lint test.every
	@code=0; for least in planets=90 steps=90 pipeline=90 server=85; do \
	  $(BIN)/coverage report --include "$${least%=*}/*" --fail-under "$${least#*=}" || code=$$?; \
	done; exit $$code

.PHONY: test.quick test.every
test.quick:
	$(PYTEST) -m "not slow"

test.every: # measures the processes that the tests start as well
	$(PYTEST) --cov --cov-report=

.PHONY: lock
lock: $(READY) ## update requirements.lock from pyproject.toml
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --group dev --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements.lock pyproject.toml

# An environment of its own: ClearML imports fastai where it is installed, with every step.
BENCH := .venv-bench
.PHONY: benchmark.real
benchmark.real: $(READY) ## compare with two other programs on real chips: DATA=/folder ARGS="--sets 256 --seeds 1"
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	VIRTUAL_ENV=$(BENCH) $(BIN)/uv pip install --quiet --requirements requirements.lock
	VIRTUAL_ENV=$(BENCH) $(BIN)/uv pip install --quiet --group bench
	VIRTUAL_ENV=$(BENCH) $(BIN)/uv pip install --quiet --no-deps --group fastai --editable .
	@$(BENCH)/bin/python benchmarks/real.py "$(DATA)" --python $(BIN)/python $(ARGS)

.PHONY: docs screenshots
docs: $(READY) ## update docs/configuration.md from the settings
	@$(BIN)/python -m pipeline reference

screenshots: $(READY) ## make the pictures of the README from the last run on the embedded server
	@$(BIN)/python docs/screenshots.py

# Lowest of what pyproject.toml names itself, newest of the rest: that is where the bounds can be wrong. An old
# library that warns of what a newer one no longer likes is no fault; all other warnings are errors as ever.
LOWEST := .venv-lowest
LOWEST_TESTS ?= --ignore tests/web --ignore tests/docs
LOWEST_REQUIREMENTS := --resolution lowest-direct --requirements pyproject.toml --group dev

.PHONY: test.lowest
test.lowest: $(READY) ## run the tests with the lowest versions that pyproject.toml allows
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	VIRTUAL_ENV=$(LOWEST) $(BIN)/uv pip install --quiet --compile-bytecode $(LOWEST_REQUIREMENTS)
	VIRTUAL_ENV=$(LOWEST) $(BIN)/uv pip install --quiet --no-deps --editable .
	$(LOWEST)/bin/python -m pytest $(PARALLEL) -W default::DeprecationWarning $(LOWEST_TESTS)
