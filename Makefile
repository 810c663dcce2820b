# make demo      a clip from the shipped model, through the whole path, on any machine
# make chat      talk to it in this terminal
# make fast      the quick tests, which reach four lines of five (1 minute)
# make coverage  make fast, and which lines it did not reach
# make lint      format, lint, spelling, types, import rules
# make test      lint and every test that is not slow (6 minutes on two cores)
# make test-all  lint and all tests: what CI runs (30 minutes)
# make chaos     kill it at every point and at random, and count what was lost (15 minutes)
# make day       let 100 people use it on a bad day of a Discord of its own (3 minutes)
# make format    format the code and mend what ruff can
# make build     the wheel, in dist/
# make install   Rushes with its models in ~/.local/share/rushes, `rushes` in ~/.local/bin
# make image     both container images, built and tried (root, Linux, buildah)
#
# TORCH_INDEX picks the build of torch; without it pip takes its default for this machine.
# CPU only (a tenth of the download):
#     make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH_INDEX ?=
# Test processes at once: one more than two cores, because tests wait for a third of their time.
WORKERS ?= 3

# Compiled once, not by each process that a test starts.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
BIN := $(VENV)/bin
FAST := -m "tour or (not model and not process and not deep and not slow)" \
	$(addprefix --ignore tests/,attacks nano unit/fakes)
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist worksteal
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
CHECKS := check-types check-imports check-spelling check-rules check-format

.DEFAULT_GOAL := help
.PHONY: $(CHECKS) help demo chat test test-all lint fast coverage chaos day format build install image clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.inference
	$(BIN)/rushes chat --data-dir demo --as you --guild demo < examples/demo.txt

chat: $(VENV)/.inference
	$(BIN)/rushes chat

test: lint $(VENV)/.dev $(VENV)/.node
	$(PYTEST) -m "not slow"

test-all: lint $(VENV)/.dev $(VENV)/.node
	rm -rf $(VENV)/.pytest
	$(PYTEST) --hypothesis-profile thorough || { test $$? = 1 && $(BIN)/python -m tests.again; }

fast: $(VENV)/.dev
	$(PYTEST) $(FAST)

coverage: $(VENV)/.dev
	$(PYTEST) $(FAST) --cov --cov-report term:skip-covered

chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos.run

day: $(VENV)/.dev
	$(BIN)/python -m tests.scenario.discord_day

# Side by side, the longest first; what each says comes in one piece, where this make can do that.
lint: $(VENV)/.dev
	@$(MAKE) --no-print-directory --keep-going --jobs 2 \
		$(if $(filter output-sync,$(.FEATURES)),--output-sync=target) $(CHECKS)

check-format:
	$(BIN)/ruff format --check .

check-rules:
	$(BIN)/ruff check .

check-spelling:
	$(BIN)/codespell README.md CONTRIBUTING.md docs bot commands inference tests benchmarks config.toml Makefile

check-types:
	$(BIN)/mypy

check-imports:
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

build: $(BIN)/python
	rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

# An update is `git pull && make install`, and nothing breaks in between. Nothing is left in this
# folder, because `sudo make install` would leave what nobody else may change.
PREFIX ?= $(HOME)/.local
INSTALL := $(PREFIX)/share/rushes/bin/python -m pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt
install:
	@test -n "$(PYTHON)" || { echo "Rushes needs Python 3.11 or newer."; exit 1; }
	$(PYTHON) -m venv $(PREFIX)/share/rushes
	@echo "Installing torch (the largest part; once) ..."
	$(INSTALL) torch $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@echo "Installing Rushes ..."
	rm -rf build *.egg-info
	$(INSTALL) --force-reinstall --no-deps .
	rm -rf build *.egg-info
	$(INSTALL) "rushes[inference,safety]"
	mkdir -p $(PREFIX)/bin
	ln -sf $(PREFIX)/share/rushes/bin/rushes $(PREFIX)/bin/rushes
	@$(PREFIX)/bin/rushes --version
	@case ":$$PATH:" in *":$(PREFIX)/bin:"*) ;; \
		*) echo "Add it to your PATH: export PATH=$(PREFIX)/bin:\$$PATH" ;; esac

image:
	deploy/image.sh

clean:
	rm -rf $(VENV) build dist demo *.egg-info

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Rushes needs Python 3.11 or newer."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: constraints.txt | $(BIN)/python
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

# OpenAI's client for Node, for the tests that need it; without npm they are skipped.
$(VENV)/.node: tests/node/package-lock.json | $(VENV)/.dev
	@mkdir -p $(VENV)/node && cp tests/node/package.json tests/node/package-lock.json $(VENV)/node
	@command -v npm >/dev/null && npm ci --prefix $(VENV)/node --ignore-scripts --no-audit --no-fund \
		--loglevel error --fetch-retries 1 && touch $@ || echo "No client for Node: its tests are skipped."
