# The menu. `make` alone shows it; ARGS passes config to a flow: make run ARGS="adapter.r=16"
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
PORT ?= 5000
HOST ?= 127.0.0.1
ARGS ?=
RUN ?=
RUNS ?=
comma := ,
space := $() $()

.PHONY: help install run sweep compare replay nightly deploy decide rollback ab feedback sync tidy data evaluate chat serve vllm quant-report export estimate ui dashboard test test-all lint format lock clean

help:  ## show this menu
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: .venv/installed  ## make .venv and install what was tested (every target does so by itself)

run: install  ## one experiment: clean, train, evaluate base and tuned, log   (ARGS="KEY=VALUE ...")
	@$(BIN)/python -m flows.experiment $(ARGS)

sweep: install  ## many trials: which r and which target modules are enough   (ARGS="sweep=smoke")
	@$(BIN)/python -m flows.sweep $(ARGS)

compare: install  ## the same report from runs that exist   (RUNS="ID ID ...")
	@$(BIN)/python -m flows.compare runs=[$(subst $(space),$(comma),$(strip $(RUNS)))] $(ARGS)

replay: install  ## run an MLflow run again from what it logged, and say what differs   (RUN=ID)
	@$(BIN)/python -m flows.replay run=$(RUN) $(ARGS)

nightly: install  ## one night now: train on new data, promote what is better beyond the noise   (ARGS="data=file data.path=...")
	@$(BIN)/python -m flows.nightly $(ARGS)

deploy: install  ## the same every night, by Prefect; needs make dashboard in another terminal   (ARGS="...")
	@$(BIN)/python -m flows.deploy $(ARGS)

decide: install  ## a night's decision again, from its record   (ARGS="record=FOLDER" or "run=RUN_ID")
	@$(BIN)/python -m flows.decide $(ARGS)

rollback: install  ## the champion before this one in use again   (ARGS='reason="why"' or 'version=3 reason="why"')
	@$(BIN)/python -m flows.rollback $(ARGS)

tidy: install  ## keep the store within night.disk_gib; look first: ARGS="dry_run=true"
	@$(BIN)/python -m flows.tidy $(ARGS)

sync: install  ## log to MLflow what was done while its server was away
	@$(BIN)/python -m flows.sync $(ARGS)

data: install  ## only the data: clean, split, tokenize, and a report to look at   (ARGS="data=file data.path=...")
	@$(BIN)/python -m flows.data $(ARGS)

evaluate: install  ## only the evaluation, of anything there is   (ARGS="run=RUN_ID" or "adapter=FOLDER")
	@$(BIN)/python -m flows.evaluate $(ARGS)

chat: install  ## talk to the champion, a run, or base and tuned side by side   (ARGS="chat.adapter=run:ID chat.beside=base")
	@$(BIN)/python -m flows.chat $(ARGS)

export: install  ## a trained adapter for others: alone, merged, GGUF, with a card   (ARGS="export.adapter=run:ID export=merged")
	@$(BIN)/python -m flows.export $(ARGS)

serve: install  ## base and many adapters as an OpenAI-compatible API on http://127.0.0.1:8000   (ARGS="...")
	@$(BIN)/python -m flows.serve $(ARGS)

vllm: install  ## the same names on vLLM, for a GPU: its config and command, and the registry followed   (ARGS="...")
	@$(BIN)/python -m flows.vllm $(ARGS)

ab: install  ## which of two served adapters users like better, as far as one can tell   (ARGS="serve.folder=...")
	@$(BIN)/python -m flows.traffic ab $(ARGS)

feedback: install  ## what users said of answers, as preference data   (ARGS="out=FOLDER")
	@$(BIN)/python -m flows.traffic feedback $(ARGS)

promote: install  ## the challenger, or a version, made champion by hand   (ARGS='reason="make ab says so"')
	@$(BIN)/python -m flows.promote $(ARGS)

estimate: install  ## memory and time of a training, before it starts   (ARGS="KEY=VALUE ...")
	@$(BIN)/python -m flows.estimate $(ARGS)

quant-report: install  ## the tuned model in 8 and 4 bits: memory, tokens/s, quality   (ARGS="KEY=VALUE ...")
	@$(BIN)/python -m flows.quantize $(ARGS)

ui: install  ## MLflow on http://127.0.0.1:5000: runs, metrics, answers, adapters   (PORT=... HOST=...)
	@$(BIN)/python -m flows.ui --host $(HOST) --port $(PORT)

dashboard: install  ## Prefect on http://127.0.0.1:4200: flows, stages, logs, results   (HOST=...)
	@$(BIN)/python -m flows.server --host $(HOST)

test: install  ## the tests, without network, on all cores
	$(BIN)/pytest -n auto --dist loadfile

test-all: install  ## the slow tests too: the real base model
	$(BIN)/pytest -m "" -n auto --dist loadfile

lint: install  ## style and types
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: install  ## put the code in shape
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

lock: install  ## write what is installed to requirements.lock
	$(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock

clean:  ## delete stage outputs and caches, and runs that wait for make sync; all else stays
	rm -rf store .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Two terminals may both find that there is something to install.
ALONE := $(shell command -v flock > /dev/null && echo flock .venv/lock)
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "loraflow needs Python 3.11 or newer; say which: make PYTHON=python3.12")'
	@mkdir -p .venv
	$(ALONE) sh -ec '$(PYTHON) -m venv .venv; $(PIP) -r requirements.lock; \
	  $(PIP) --no-deps --no-build-isolation --editable .; touch $@'
