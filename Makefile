# Everything a person types. `make demo` and `make test` need git, make and Python >= 3.11; the rest sets itself up.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
ARGS   ?=
N      ?= 1000
export PYTHONPATH := tests

.PHONY: help setup lock demo test up down bench lint crds docs spec clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.ready ## the Python environment, from the locked list

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@echo "setting up the Python environment (about half a minute)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d: make PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

lock: ## write the locked lists anew (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --extra operator pyproject.toml -o requirements/runtime.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --extra operator --group build --group test --group lint pyproject.toml -o requirements/dev.txt

demo: setup ## the main job on real servers, in a minute (KEEP=1 leaves it running)
	@$(PY) -m demo $(if $(KEEP),--keep)

test: setup lint ## all set-up and all tests (ARGS='-k vault' goes to pytest)
	@$(PY) -m localenv tools
	@$(PY) -m pytest $(ARGS)

up: setup ## the real servers, kept running
	@$(PY) -m localenv up

down: ## stop what `make up` or `make demo KEEP=1` left running
	@$(PY) -m localenv down

bench: setup ## the figures of docs/performance.md (N=10000 for the large run)
	@$(PY) -m localenv tools
	@$(PY) -m bench --connections $(N) $(ARGS)

lint: setup ## formatter, linter, types, rooms
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@mkdir -p build; $(VENV)/bin/lint-imports --no-cache >build/lint-imports.log 2>&1 || (cat build/lint-imports.log; exit 1)

crds: setup ## render crds/ from the models, and the chart's copy
	@$(PY) -m lanyard.api.schema crds charts/lanyard/files/crds

docs: setup ## render the generated pages of docs/
	@$(PY) -m docsgen

spec: setup ## every row of the specification with the tests that name it
	@$(PY) -m spec_rows

clean: ## forget the Python environment and what was built here
	rm -rf $(VENV) build
