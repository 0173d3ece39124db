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

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-z._-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[36m%-18s\033[0m %s\n", $$1, $$2}'
	@printf '\n  PROFILE=sample|full|gpu  DATASET_SOURCE=sample|local|kaggle  DATASET_PATH=/folder  ARGS="--set key=value"\n'

.PHONY: setup
setup: $(READY) ## make .venv with the locked dependencies

# With UV_TORCH_BACKEND set (cpu, auto, cu130, ...) uv takes torch from an index whose wheels have other hashes
# and other CUDA libraries: then the lock gives the versions and the CUDA libraries are left to torch.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed: make PYTHON=python3.12"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
ifdef UV_TORCH_BACKEND
	grep -E '^[a-zA-Z0-9]' requirements.lock | sed 's/ *\\$$//' | grep -vE '^(nvidia-|cuda-|triton)' > $(VENV)/versions.txt
	$(UV) install --quiet --compile-bytecode --requirements $(VENV)/versions.txt
else
	$(UV) install --quiet --compile-bytecode --require-hashes --requirements requirements.lock
endif
	$(UV) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: lock
lock: $(READY) ## write requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --group dev --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements.lock pyproject.toml

.PHONY: train.pipeline
train.pipeline: $(READY) ## run the whole pipeline: from the chips to output/best
	@$(BIN)/python -m pipeline run $(ARGS)

.PHONY: up down status doctor env
up: $(READY) ## start the embedded server and this machine's workers
	@$(BIN)/python -m pipeline up $(ARGS)

down: $(READY) ## end the embedded server, the workers and what they run
	@$(BIN)/python -m pipeline down

status: $(READY) ## what runs here, and the last run: each step and why it ran
	@$(BIN)/python -m pipeline status $(ARGS)

doctor: $(READY) ## check what a run needs, with a remedy for each fault
	@$(BIN)/python -m pipeline doctor $(ARGS)

env: $(READY) ## print the exports for other ClearML programs: eval "$(make -s env)"
	@$(BIN)/python -m pipeline env

.PHONY: lint test
lint: $(READY) ## linters, types and the arrows between the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## linters, then every test: units, server, pipeline end to end, browser
	$(BIN)/python -m pytest $(ARGS)

.PHONY: docs
docs: $(READY) ## write docs/configuration.md anew from the settings' models and files
	@$(BIN)/python -m pipeline reference

# Lowest of what pyproject.toml names itself, newest of the rest: that is where the bounds can be wrong. An old
# library that warns of what a newer one no longer likes is no fault; all other warnings are errors as ever.
LOWEST := .venv-lowest
LOWEST_TESTS ?= --ignore tests/web --ignore tests/docs
LOWEST_REQUIREMENTS := --resolution lowest-direct --requirements pyproject.toml --group dev

.PHONY: test.lowest
test.lowest: $(READY) ## the tests with the lowest versions that pyproject.toml allows, in .venv-lowest
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	VIRTUAL_ENV=$(LOWEST) $(BIN)/uv pip install --quiet --compile-bytecode $(LOWEST_REQUIREMENTS)
	VIRTUAL_ENV=$(LOWEST) $(BIN)/uv pip install --quiet --no-deps --editable .
	$(LOWEST)/bin/python -m pytest -W default::DeprecationWarning $(LOWEST_TESTS)
