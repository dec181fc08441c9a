# `make` lists the targets.
PYTHON ?= python3
BIN := .venv/bin

# Run several test files at a time; the tests of a file share the servers that they start.
RUN_TESTS = $(BIN)/pytest --dist loadfile --no-loadscope-reorder --numprocesses

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak triton fuzz storm mutants coverage outdated check lint fast-tests peers audit fix bench docs release examples comparison base wasm tables serve ui clean reset

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed ## create .venv with the pinned packages

.venv/.installed: pyproject.toml setup.py constraints.txt $(wildcard rnnlm/*/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; choose one: make PYTHON=python3.12")'
	@echo "installing the pinned packages into .venv (takes a few minutes, only once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check pip==26.3  # resolves three times as fast
	@$(BIN)/pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## train on colour names, then invent a thousand more
	@$(BIN)/rnnlm train configs/colors-demo.toml

test: setup ## run the tests, or some: CHOSEN="slow or service"
	@$(RUN_TESTS) 3 -m "$(if $(CHOSEN),($(CHOSEN)) and )not soak"

soak: setup ## run the tests that take minutes each
	@$(RUN_TESTS) 2 -m soak

triton: setup .triton/.installed ## run the GPU kernels in Triton's interpreter, and compile them
	@PYTHONPATH=.triton TRITON_INTERPRET=1 $(BIN)/pytest -m triton

.triton/.installed: Makefile  # apart from .venv, because Triton's interpreter needs numpy < 2.4
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target .triton triton==3.6.0 numpy==2.3.5
	@touch $@

storm: setup ## inject faults into the installed command, which takes half an hour; STORM="--faults 25"
	@$(BIN)/python -m tests.storm $(STORM)

fuzz: setup ## give a million bad inputs to the readers and parsers; CASES=20000
	@$(BIN)/python -m tests.fuzz --cases $(or $(CASES),1000000)

mutants: setup ## change the core's code one operator at a time; the tests should fail
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[measure]'
	@$(BIN)/python -m tests.mutants $(MUTANTS)

coverage: setup ## measure which branches the tests take, in subprocesses too; takes an hour
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[measure]'
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest --numprocesses 2 --dist loadfile -m "not soak"; true
	@for file in .coverage.*; do \
		$(BIN)/coverage combine --quiet --append "$$file" || rm -f "$$file"; \
	done   # processes that tests kill may leave damaged files
	@$(BIN)/coverage report

outdated: setup ## list the installed packages that have newer versions
	@$(BIN)/pip list --outdated --disable-pip-version-check

check: setup ## format, lint, types, imports, container files, fast tests
	@$(MAKE) --no-print-directory -j2 lint fast-tests

lint: setup ## format, lint, types, imports, container files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/deptry rnnlm flows rnnlm_flows
	@$(BIN)/hadolint docker/Dockerfile
	@$(BIN)/podman-compose --dry-run -f docker/compose.yaml config > /dev/null

fast-tests: setup ## the tests that need neither minutes nor servers
	@$(RUN_TESTS) 2 --hypothesis-profile quick -m "not slow and not service"

peers: setup ## compare with other implementations: KenLM, torch, DuckDB, polars
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	@$(BIN)/pytest tests/independent tests/test_arpa.py

audit: setup ## look for known vulnerabilities in the pinned packages
	@.ci/audit

fix: setup ## format, and fix what ruff can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup ## measure training, generation and tokenizing against the usual ways
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/python benchmarks/train.py
	@$(BIN)/python benchmarks/generate.py
	@$(BIN)/python benchmarks/tokenize.py

docs: setup ## build the site into build/docs; a broken link is an error
	@$(BIN)/pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going -c docs . build/docs
	@echo "the site is in build/docs/index.html"

release: setup ## build the packages into dist/, check them, cut the changelog; upload nothing
	@$(BIN)/pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[release]'
	@.ci/release

examples: setup ## train the four famous examples and write docs/examples.md
	@$(BIN)/python docs/figures/examples.py

comparison: setup ## compare with textgenrnn, char-rnn.pytorch and nanoGPT; needs python3.8
	@for name in spro/char-rnn.pytorch karpathy/nanoGPT; do \
		folder=data/comparison/$${name#*/}; \
		test -d $$folder || git clone --quiet https://github.com/$$name $$folder; \
	done
	@$(BIN)/python docs/figures/comparison.py --sources data/comparison

base: setup ## train the base english, which takes hours
	@$(BIN)/rnnlm train configs/base-english.toml
	@$(BIN)/rnnlm export base-english --out rnnlm/bases/base-english.safetensors

tables: setup ## record the database tables of the installed Prefect and MLflow
	@$(BIN)/python -m flows.runtime.tables.record

wasm: setup ## compile the web page's engine, with clang 19
	@$(BIN)/python -m rnnlm.play.compiling

serve: setup ## run the schedules of prefect.yaml; keep Prefect and MLflow up
	@$(BIN)/rnnlm serve

ui: setup ## open the MLflow and Prefect pages
	@$(BIN)/rnnlm ui

clean: ## remove the output of tools; keep .venv, data and models
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

reset: ## delete all data, models and the registry, after asking
	@du -sh data mlruns
	@printf 'Delete everything in data/ and mlruns/, with all models? [y/N] '; read answer; \
	if [ "$$answer" = y ]; then find data mlruns -mindepth 1 ! -name README.md -delete; \
	else echo 'nothing deleted'; fi
