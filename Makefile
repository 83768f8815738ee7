# Every command does its own set-up: `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
export UV_COMPILE_BYTECODE := 1

.PHONY: view demo test check fuzz faults bench bench-view bench-reader bench-load bench-roster bench-fleet bench-scaling bench-pollock bench-corpora bench-onboarding bench-connecting lock schemas clean help

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.ready: requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt -r requirements-dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

UI := etl_lib/view/ui
VIEW := etl_lib/view/static/view.js
NPM := PATH="$(abspath $(BIN)):$$PATH" npm --prefix $(UI) --silent

$(UI)/node_modules: $(VENV)/.ready $(UI)/package-lock.json
	$(NPM) ci
	@touch $@

$(VIEW): $(UI)/node_modules $(wildcard $(UI)/src/* $(UI)/public/*) $(UI)/vite.config.ts $(UI)/package.json
	$(NPM) run build >/dev/null

view: $(VIEW)  ## build the view inside Airflow

demo: $(VENV)/.ready $(VIEW)  ## start the local stack, load every sample school twice, stay up
	$(BIN)/python -m demo $(ARGS)

test: $(VENV)/.ready $(VIEW) check  ## the whole test suite, with all set-up
	$(BIN)/python -m local_stack.browser
	$(BIN)/python -m pytest -n 3 --dist loadgroup $(ARGS)

check: $(VENV)/.ready $(UI)/node_modules  ## ruff, mypy --strict, import-linter; the mappings, their guides and samples
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/etl check
	$(BIN)/etl guide --all --check
	$(BIN)/etl test --all
	$(NPM) run check

bench: bench-view bench-reader bench-load bench-roster bench-fleet  ## measure all five, and write docs/benchmarks.md (takes hours)

bench-view: $(VENV)/.ready $(VIEW)  ## the view on a year of 500 clients
	$(BIN)/python -m benchmarks.view $(ARGS)

bench-reader: $(VENV)/.ready  ## the reader against pyarrow, duckdb, polars, pandas
	$(BIN)/python -m benchmarks.reader $(ARGS)

bench-load: $(VENV)/.ready  ## whole loads against COPY + MERGE, dlt, sling and others: ARGS="--rows 100000 --rounds 1"
	$(BIN)/python -m benchmarks.load $(ARGS)

bench-roster: $(VENV)/.ready  ## whole loads of a OneRoster school, whose files fill two entities each
	$(BIN)/python -m benchmarks.roster $(ARGS)

bench-fleet: $(VENV)/.ready $(VIEW)  ## 500 mappings in a running Airflow (takes an hour)
	$(BIN)/python -m benchmarks.fleet $(ARGS)

bench-scaling: $(VENV)/.ready $(VIEW)  ## a night on one and two Celery workers, and one lost; needs redis-server (half an hour)
	$(BIN)/python -m benchmarks.scaling $(ARGS)

bench-pollock: $(VENV)/.ready  ## the reader and its peers on broken files: CHECKOUT=folder of Pollock
	$(BIN)/python -m benchmarks.pollock --checkout "$(CHECKOUT)" $(ARGS)

bench-corpora: $(VENV)/.ready  ## every file of folders through the reader: FOLDER="one two"
	$(BIN)/python -m benchmarks.corpora $(FOLDER) --keep $(ARGS)

bench-onboarding: $(VENV)/.ready  ## what `etl new` maps rightly, asks, gets wrong: FOLDER="one two"
	$(BIN)/python -m benchmarks.onboarding $(FOLDER) $(ARGS)

bench-connecting: $(VENV)/.ready $(VIEW)  ## from sample files to the first loaded delivery, in seconds: FOLDER="one two"
	$(BIN)/python -m benchmarks.connecting $(FOLDER) $(ARGS)

fuzz: $(VENV)/.ready  ## damage the sample files for ten minutes and read them: ARGS="--seconds 60"
	$(BIN)/python -m benchmarks.fuzz $(ARGS)

N ?= 100
faults: $(VENV)/.ready  ## plant N instants of every fault, and write docs/faults.md (takes hours for N=1000)
	$(BIN)/python -m tests.faults.campaign --n $(N) $(ARGS)

lock: $(VENV)/.ready  ## compile requirements.in to requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url requirements-dev.in -o requirements-dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url requirements.in -c requirements-dev.txt -o requirements.txt

schemas: $(VENV)/.ready  ## write the JSON Schemas that editors use
	$(BIN)/etl schema

clean:  ## remove the local stack's data and the environment
	rm -rf .local $(VENV) $(UI)/node_modules $(dir $(VIEW))
