# `make` lists the targets. Everything is installed into this folder: .tools (uv) and .venv.

PYTHON ?= python3
UV := .tools/bin/uv
BIN := .venv/bin
STAMP := .venv/.synced
BENCH_STAMP := .venv/.bench
T ?= tests
MANIFESTS := pyproject.toml uv.lock $(wildcard services/*/pyproject.toml) shared/pyproject.toml cli/pyproject.toml

# An environment that happens to be active, or pip settings of it, must not redirect the install.
unexport VIRTUAL_ENV PYTHONHOME
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv
export UV_COMPILE_BYTECODE := 1
export PIP_REQUIRE_VIRTUALENV := false
export PIP_USER := false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install run test test-faults bench bench-growth check format openapi asyncapi clean
.SUFFIXES:

help: ## list the targets
	@printf 'Shortwire. Start it with `make run`; the targets are:\n\n'
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r target text; do printf '%-25s %s\n' "$$target" "$$text"; done

install: $(STAMP) ## install everything into .venv

run: $(STAMP) ## run the whole system here until Ctrl-C (settings: PORT, AUTH, DATA_DIR, …)
	@exec $(BIN)/shortwire run

test: $(STAMP) ## run the tests; T=tests/unit picks some
	@$(BIN)/python -m pytest $(T)

test-faults: $(STAMP) ## run the fault tests at length: SOAK_SECONDS=180, SOAK_EXAMPLES=1000
	@SOAK_SECONDS=$${SOAK_SECONDS:-180} SOAK_EXAMPLES=$${SOAK_EXAMPLES:-1000} $(BIN)/python -m pytest tests/faults

bench: $(BENCH_STAMP) ## measure this machine: ROUNDS=5, SECONDS=4, CONNECTIONS=32; needs wrk
	@$(BIN)/python -m bench all

bench-growth: $(BENCH_STAMP) ## the same with 10 million links and events: LINKS=1000,…, EVENTS=10000,…
	@$(BIN)/python -m bench growth

check: $(STAMP) ## lock file, format, lint, types and import rules
	$(UV) lock --check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports

format: $(STAMP) ## format the code and repair what the linter can
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

openapi: $(STAMP) ## write docs/openapi.json anew
	@$(BIN)/python -m management.print_openapi >docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json

asyncapi: $(STAMP) ## write docs/asyncapi.yaml anew
	@$(BIN)/python -m shared.asyncapi >docs/asyncapi.yaml.new && mv docs/asyncapi.yaml.new docs/asyncapi.yaml

clean: ## remove what was installed and cached; your data in .data stays
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

include deploy/compose.mk
include observability/observability.mk

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Shortwire needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1 | cut -d' ' -f2): name a newer one, for instance make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null || { \
		echo "Shortwire needs pip for $(PYTHON): install it (Debian, Ubuntu: apt install python3-pip)" >&2; exit 1; }
	@echo 'Installing uv into .tools …'
	@$(PYTHON) -m pip install --quiet --target .tools uv==0.13.9

$(STAMP): $(UV) $(MANIFESTS)
	@echo 'Installing Shortwire into .venv …'
	@$(UV) sync --locked --all-packages --python "$$(command -v $(PYTHON))"
	@touch $@

$(BENCH_STAMP): $(STAMP)
	@echo 'Installing what Shortwire is measured against into .venv …'
	@$(UV) sync --locked --all-packages --group bench --python "$$(command -v $(PYTHON))"
	@touch $@
