# `make run` and `make test` are all that is needed; both make .venv as requirements*.lock say. `make help` lists the rest.
# HOST, PORT, DATA_DIR and the rest of docs/configuration.md may be given: make run PORT=9000

SHELL := /bin/sh
PY := .venv/bin/python
PYTEST := $(PY) -m pytest
# Three processes on two cores, as much of a test is waiting for servers; tests of one module stay together, since they
# share servers and running Lobbies. The dearest modules begin first, as tests/conftest.py orders them.
PYTEST_ARGS ?=
WORKERS ?= 3

# What is run is run again and again: nothing is compiled twice.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test test-embedded test-postgres soak check lint types imports migrations format lock bench fuzz clean

help: ## Show this.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

run: ## Everything, under one supervisor: environment, database, demo data, web, worker, MLflow.
	@scripts/environment.sh runtime
	@exec $(PY) -m portal.supervisor

test: ## Everything: environment, browser, servers, the whole suite on SQLite and its backend part on PostgreSQL.
	@scripts/environment.sh dev
	@scripts/system-packages.sh
	@scripts/node-packages.sh
	@$(MAKE) --no-print-directory test-embedded
	@$(MAKE) --no-print-directory test-postgres

test-embedded: ## The whole suite, on SQLite and in-memory counters.
	$(PYTEST) -W error -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-postgres: ## What depends on the backends, on PostgreSQL and Redis.
	LOBBY_TEST_BACKENDS=servers $(PYTEST) -W error -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m backends $(PYTEST_ARGS)

soak: ## The reliability tests with ten times the load and outages of five minutes.
	LOBBY_TEST_SOAK=1 $(PYTEST) -W error tests/reliability $(PYTEST_ARGS)

check: ## What .ci/run checks before the tests.
	@scripts/environment.sh dev
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target types lint imports migrations

lint:
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) scripts/secrets_scan.py

types:
	$(PY) -m mypy

imports:
	.venv/bin/python -c 'from importlinter.cli import lint_imports_command as main; main()'

migrations:
	LOBBY_ENV_FILE=/dev/null DATA_DIR=$$(mktemp -d) $(PY) manage.py makemigrations --check --dry-run

format: ## Format, and fix what can be fixed.
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

lock: ## Write the lock files anew; LOCK_ARGS=--upgrade for newer versions.
	@scripts/environment.sh dev
	scripts/lock.sh $(LOCK_ARGS)

bench: ## Measure Lobby beside its upstream and LiteLLM; see docs/benchmarks.md.
	@scripts/environment.sh dev
	$(PY) -m tests.benchmarks

fuzz: ## Try every operation of the management API with many more examples (FUZZ_EXAMPLES each) than the suite does.
	@scripts/environment.sh dev
	API_FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-200} $(PYTEST) -W error tests/security/test_api_fuzz.py $(PYTEST_ARGS)

clean: ## Remove the environment and caches. Data stays.
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
