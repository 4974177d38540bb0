# Each target does the set-up it needs. The second time, nothing is set up again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
MINUTES ?= 20

.PHONY: help setup serve test test-clients check docs bench fuzz lock clean
help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY)  ## a .venv with everything, from the locked and hashed requirements

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("penstock needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || { echo "making $(VENV) …"; $(PYTHON) -m venv $(VENV); }
	@echo "installing the locked dependencies …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

serve: setup     ## run the gateway on http://127.0.0.1:8787 (ARGS="--port 9000")
	@$(BIN)/penstock serve $(ARGS)

test: setup      ## the whole test suite (ARGS="-k markers")
	@$(BIN)/python -m pytest $(ARGS)

test-clients: setup  ## real clients against a real server; needs Node with npm (ARGS="-k opencode")
	@$(BIN)/python -m tests.clients.install
	@$(BIN)/python -m pytest -v --durations=5 -m clients tests/clients $(ARGS)

check: setup     ## formatting, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@# 119: our stages are generators; 127: see ARCHITECTURE.md, httpx; 124 and 114: handlers are async by contract; 9xx: a stage may pass without a checkpoint
	@find pipeline server tests benchmarks -name '*.py' -print0 | \
		xargs -0 -P 2 -n 40 $(BIN)/flake8-async --disable ASYNC119,ASYNC127,ASYNC124,ASYNC114,ASYNC9
	@$(BIN)/mypy
	@$(BIN)/basedpyright --level error

docs: setup      ## write docs/settings.md, and the generated places of docs/composer.md, docs/dialects.md, docs/messages.md, docs/parameters.md, docs/sdk-bridge.md and docs/tool-calls.md
	@$(BIN)/python -m tests.support.documents

bench: setup     ## what a chunk costs, in process and end to end (ARGS="--json results.json")
	@$(BIN)/penstock bench $(ARGS)

fuzz: setup     ## mutated answers through the machine, until something is wrong (MINUTES=20 ARGS="--seed 1")
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES) $(ARGS)

lock:            ## resolve the dependencies again (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q pyproject.toml -o requirements/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q pyproject.toml --extra cursor-sdk -c requirements/run.txt -o requirements/cursor-sdk.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q pyproject.toml --group dev -o requirements/dev.txt

clean:           ## remove what the targets made
	rm -rf $(VENV) .clients dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
