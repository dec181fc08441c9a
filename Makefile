# `make` lists the targets.
PYTHON ?= python3
BIN := .venv/bin

# Two files of tests at a time; a file's tests share what they start.
RUN_TESTS = $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fix bench examples base serve ui clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed ## make .venv with the pinned set

.venv/.installed: pyproject.toml constraints.txt $(wildcard rnnlm/kernels/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	@echo "installing the pinned set into .venv (a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check pip==26.3  # resolves in a third of the time
	@$(BIN)/pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## train on colour names, invent a thousand more
	@$(BIN)/rnnlm train configs/colors-demo.toml

test: setup ## run all tests, or those that CHOSEN="slow or service" says
	@$(RUN_TESTS) -m "$(CHOSEN)"

check: setup ## format, lint, types, import contracts, container files, fast tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/hadolint docker/Dockerfile
	@POSTGRES_PASSWORD=unused RNNLM_PASSWORD=unused $(BIN)/podman-compose --dry-run -f docker/compose.yaml config > /dev/null
	@$(RUN_TESTS) -m "not slow and not service"

fix: setup ## format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup ## measure training, generation and tokenizing, both sides in one run
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/python benchmarks/train.py
	@$(BIN)/python benchmarks/generate.py
	@$(BIN)/python benchmarks/tokenize.py

examples: setup ## train the four famous examples, write docs/examples.md
	@$(BIN)/python docs/figures/examples.py

base: setup ## train the base english, which takes hours
	@$(BIN)/rnnlm train configs/base-english.toml
	@$(BIN)/rnnlm export base-english --out rnnlm/bases/base-english.safetensors

serve: setup ## run what prefect.yaml schedules; Prefect and MLflow stay up
	@$(BIN)/rnnlm serve

ui: setup ## open the MLflow and Prefect pages
	@$(BIN)/rnnlm ui

clean: ## remove what runs and tools wrote, keep .venv
	@find data mlruns -mindepth 1 ! -name README.md -delete
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
