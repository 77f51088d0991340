# `make start` serves, `make test` proves; both set everything up.  `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
DATA_DIR ?= .perdure
LISTEN ?= 127.0.0.1:4566

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

start: $(VENV)/.run ## serve on 127.0.0.1:4566, state in .perdure/ (DATA_DIR= switches it off)
	@DATA_DIR="$(DATA_DIR)" GATEWAY_LISTEN="$(LISTEN)" exec $(BIN)/perdure start

test: lint $(VENV)/.dev moto-tests ## check style, types, layers; run all tests
	$(BIN)/python -m pytest -m "not long" --numprocesses 2 --dist loadfile

clients: $(VENV)/.dev ## run real clients against a server: AWS CLI, SDKs, cdklocal
	$(BIN)/python -m pytest --durations 0 tests/clients

container-check: ## try the Dockerfile without an engine, in a clean root (root, debootstrap; minutes)
	$(PYTHON) container/check.py

lint: $(VENV)/.dev ## style, types and layers only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: $(VENV)/.dev ## branch coverage of the persistence room by the tests without a server
	$(BIN)/coverage run -m pytest tests/unit tests/property tests/crash tests/golden
	$(BIN)/coverage report --include 'src/perdure/persistence/*' --show-missing

coverage-sweep: $(VENV)/.dev ## call every operation of every service, restart, compare; write docs/coverage.md
	$(BIN)/python -m tests.coverage.sweep_calls $(ARGS)

docs: $(VENV)/.dev ## generate docs/configuration.md, docs/coverage.md and the table of services
	$(BIN)/python -m perdure.cli.confdoc
	$(BIN)/python -m perdure.engine.coverage
	$(BIN)/python -m perdure.engine.services

crash-sweep: $(VENV)/.dev moto-tests ## 2,000 of moto's tests with a crash and a recovery after every call
	$(BIN)/python -m tests.coverage.crash_sweep --moto $(MOTO) $(ARGS)

soak: $(VENV)/.dev ## kill a busy server 300 times, compare with what it acknowledged (ARGS="--kills 20 --seed 7")
	$(BIN)/python -m tests.soak.soak $(ARGS)

bench: $(VENV)/.dev ## measure against moto_server and ministack, and what the journal costs; print ratios
	$(BIN)/python bench/run.py $(ARGS)

bench-stall: $(VENV)/.dev ## measure how long calls wait during a checkpoint of 100,000 items
	$(BIN)/python bench/stall.py $(ARGS)

bench-growth: $(VENV)/.dev ## measure what calls cost with 0 to 100,000 messages, items, keys
	$(BIN)/python bench/growth.py $(ARGS)

bench-large: $(VENV)/.dev ## measure how 0 to 100,000 items, messages and 1,000 objects resume
	$(BIN)/python bench/large.py $(ARGS)

bench-bodies: $(VENV)/.dev ## measure memory and speed with an S3 object of 2 GB
	$(BIN)/python bench/bodies.py $(ARGS)

bench-servers: $(VENV)/.dev ## measure the ASGI servers to choose from
	$(BIN)/python bench/servers.py $(ARGS)

# moto's own tests come with its source distribution; they are fetched, never committed.
MOTO_VERSION := $(shell sed -n 's/.*"moto\[all\]==\([0-9.]*\)".*/\1/p' pyproject.toml)
MOTO := .cache/moto-$(MOTO_VERSION)

moto-tests: $(MOTO)/.fetched ## fetch moto's own tests from PyPI
$(MOTO)/.fetched: $(VENV)/.dev
	$(PIP) download --no-deps --no-binary moto --dest .cache moto==$(MOTO_VERSION)
	mkdir -p $(MOTO) && tar xzf .cache/moto-$(MOTO_VERSION).tar.gz --directory $(MOTO) \
		--strip-components 1 moto-$(MOTO_VERSION)/tests moto-$(MOTO_VERSION)/pyproject.toml
	@touch $@

moto-sweep: $(VENV)/.dev moto-tests ## moto's tests with a restart after every call, against plain moto
	$(BIN)/python tests/coverage/moto_sweep.py --moto $(MOTO) $(ARGS)

replay-sweep: $(VENV)/.dev moto-tests ## moto's tests recorded, replayed in two fresh processes, compared
	$(BIN)/python -m tests.coverage.replay_sweep --moto $(MOTO) $(ARGS)

lock: $(VENV)/.dev ## pin the versions of all dependencies anew
	$(BIN)/pip-compile $(LOCK) --extra cli --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile $(LOCK) --extra cli --extra dev --output-file requirements-dev.lock pyproject.toml
LOCK := --quiet --upgrade --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host --no-header --annotation-style line --resolver backtracking

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name it with PYTHON=..."; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "error: no venv module; on Debian: apt-get install python3-venv"; exit 2; }

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	@test -f $(VENV)/.dev || { echo "installing what requirements.lock names into $(VENV)"; \
		$(PIP) install -r requirements.lock hatchling editables && \
		$(PIP) install --no-deps --no-build-isolation --editable .; }
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "installing what requirements-dev.lock names into $(VENV)"
	@$(PIP) install -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.run

clean: ## remove the virtual environment and caches, never state
	rm -rf $(VENV) .bench .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

.PHONY: help start test clients container-check lint format coverage coverage-sweep moto-tests moto-sweep \
	replay-sweep crash-sweep soak docs bench bench-stall bench-growth bench-large bench-bodies bench-servers lock clean
