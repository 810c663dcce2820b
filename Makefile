# make demo      a clip from the shipped model, through the whole path, on any machine
# make chat      talk to it in this terminal
# make fast      tests without torch and child processes (1 minute)
# make lint      format, lint, spelling, types, import rules
# make test      lint and every test that is not slow (6 minutes on two cores)
# make test-all  lint and all tests: what CI runs (30 minutes)
# make chaos     kill it at every point and at random, and count what was lost (10 minutes)
# make day       let 100 people use it on a bad day of a Discord of its own (3 minutes)
# make format    format the code and mend what ruff can
# make build     the wheel, in dist/
#
# TORCH_INDEX picks the build of torch; without it pip takes its default for this machine.
# CPU only (a tenth of the download):
#     make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH_INDEX ?=
# Test processes at once.
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist worksteal
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo chat test test-all lint fast chaos day format build clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.inference
	$(BIN)/rushes chat --data-dir demo --as you --guild demo < examples/demo.txt

chat: $(VENV)/.inference
	$(BIN)/rushes chat

test: lint $(VENV)/.dev
	$(PYTEST) -m "not slow"

test-all: lint $(VENV)/.dev
	$(PYTEST)

fast: $(VENV)/.dev
	$(PYTEST) -m "not model and not process and not slow"

chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos.run

day: $(VENV)/.dev
	$(BIN)/python -m tests.scenario.discord_day

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell README.md CONTRIBUTING.md docs bot commands inference tests benchmarks config.toml Makefile
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

build: $(VENV)/.dev
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist demo *.egg-info

$(VENV)/.torch: constraints.txt
	@test -n "$(PYTHON)" || { echo "Rushes needs Python 3.11 or newer."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing torch (the largest part; once) ..."
	$(PIP) torch $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@touch $@

$(VENV)/.inference: $(VENV)/.torch pyproject.toml
	@echo "Installing Rushes ..."
	$(PIP) --editable ".[inference]"
	@touch $@

$(VENV)/.dev: $(VENV)/.inference
	@echo "Installing what the tests need ..."
	$(PIP) --editable ".[inference,dev,safety]"
	@touch $@
