# Everything a developer or a newcomer types. `make` alone lists it.
#   PYTHON=/path/to/python3.12   the interpreter .venv is made with (otherwise the first fitting one on PATH)
#   ARGS="..."                   passed on to the program behind up, test and bench
#   WORKERS=2                    processes that share the suite, each with a Kafka and a MongoDB of its own

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?=
ARGS ?=
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

##@ Use
.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	      /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: up
up: $(VENV)/.run ## set up, start Kafka, MongoDB and the four services, show the demo (Ctrl-C drains)
	@$(BIN)/cqm up --demo $(ARGS)

.PHONY: install
install: $(VENV)/.run ## make .venv with `cqm` in it
	@echo "Ready: $(BIN)/cqm --help"

##@ Develop
.PHONY: test
test: $(VENV)/.dev ## the whole suite, on a real Kafka and a real MongoDB
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile $(ARGS)

.PHONY: lint
lint: $(VENV)/.dev ## format, lint, types, compose file
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

.PHONY: format
format: $(VENV)/.dev ## put format and import order right
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

.PHONY: bench
bench: $(VENV)/.dev ## feedback per second through all four services, and each stage beside its raw limit
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: bench-queries
bench-queries: $(VENV)/.dev ## how long figures take over many facts (ARGS="--facts N")
	@$(BIN)/python -m tests.bench.queries $(ARGS)

.PHONY: faults
faults: $(VENV)/.dev ## the fault matrix, up to 40 minutes (FAULT=name for one of it, SEED=n)
	@CQM_FAULT_SEED=$(or $(SEED),7) $(BIN)/python -m pytest -q tests/faults -m faults $(if $(FAULT),-k "$(FAULT)") $(ARGS)

.PHONY: faults-sla
faults-sla: $(VENV)/.dev ## promised times: four replicas, one killed, a clock that jumps
	@CQM_FAULT_CLOCKS=$${CQM_FAULT_CLOCKS:-3000} $(BIN)/python -m pytest -q tests/faults/test_sla_timers.py $(ARGS)

.PHONY: docs
docs: $(VENV)/.dev ## write again what is generated: contracts, docs/topics.md, the policy schema
	@$(BIN)/python -m shared.contracts
	@$(BIN)/python -m shared.policy.schema
	@$(BIN)/python -m tests.contract.openapi
	@$(BIN)/python -m tests.contract.metrics
	@$(BIN)/python -m services.analytics.domain.page > docs/kpis.md
	@$(BIN)/python -m tests.unit.test_docs
	@$(BIN)/python -m tests.unit.test_flow

.PHONY: lock
lock: $(VENV)/.dev ## pin the ranges of pyproject.toml, with hashes, into requirements/
	@UV="$(BIN)/uv" requirements/lock $(ARGS)

.PHONY: clean
clean: ## remove .venv and the caches of the tools (data of `cqm up` stay)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .grimp_cache
	find services shared deploy tests -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Containers
.PHONY: docker-build
docker-build: ## the image of the services (CQM_IMAGE, CQM_PYTHON_IMAGE name other ones)
	$(COMPOSE) build intake

.PHONY: docker-up
docker-up: ## the whole system in containers, in the background
	$(COMPOSE) up -d $(ARGS)

.PHONY: docker-down
docker-down: ## stop the containers (volumes stay)
	$(COMPOSE) down

# How .venv comes to be: a stamp per set of requirements, so that a second `make` has nothing to do.
$(VENV)/.run: requirements/local.txt pyproject.toml
	@PYTHON="$(PYTHON)" requirements/install local.txt
	@touch $@

# dev.txt holds all of local.txt, pinned alike.
$(VENV)/.dev: requirements/dev.txt pyproject.toml
	@PYTHON="$(PYTHON)" requirements/install dev.txt
	@touch $(VENV)/.run $@
