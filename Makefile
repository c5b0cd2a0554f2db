# The whole interface: make env | viewer | demo | qgis | test | test-fast | test-lowest | check | docs | bench. Each installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PAGE := src/bocage/view/static/app.js
DEMO ?= runs/demo
WORKERS ?= 2
# Every worker has one thread (tests/conftest.py).
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: help env viewer demo qgis test test-fast test-lowest check docs bench lock clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

env: $(STAMP)  ## Make .venv from the lock; nothing to do when it is up to date

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	-$(BIN)/python -c "from bocage.training.nearest import warm; warm()"  # the first map then does not wait; without it, it compiles
	@touch $(STAMP)

viewer: $(PAGE)  ## Build the page of `bocage view` again, with Node, after a change; `make env` builds it the first time

$(PAGE): $(wildcard src/bocage/view/web/src/*) $(addprefix src/bocage/view/web/,package.json package-lock.json build.js)
	cd src/bocage/view/web && npm ci --silent && npm run --silent build

demo: env  ## Simulate a small landscape, map it from all sensors, compare the map with the whole truth
	@rm -rf $(DEMO)
	$(BIN)/bocage simulate $(DEMO)/landscape
	$(BIN)/bocage run $(DEMO)/landscape/demo.toml --out $(DEMO)/run

qgis: dist/bocage-qgis.zip  ## Pack the plugin of QGIS into dist/bocage-qgis.zip

dist/bocage-qgis.zip: qgis/pack.py LICENSE $(wildcard qgis/bocage/*)
	$(PYTHON) qgis/pack.py $@

test: env $(PAGE) check  ## Lint, types, import contract, then the tests
	$(PYTEST)

test-fast: env $(PAGE)  ## Lint, and the tests that take less than a second
	$(BIN)/ruff check .
	$(PYTEST) -m "not slow"

test-lowest: build/lowest/.installed  ## The fast tests with the lowest declared versions (in build/lowest; several GB)
	build/lowest/bin/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" -W default

build/lowest/.installed: pyproject.toml
	$(PYTHON) -m venv --clear build/lowest
	build/lowest/bin/pip install --quiet --disable-pip-version-check uv
	build/lowest/bin/uv pip install --quiet --python build/lowest/bin/python --resolution lowest-direct -e '.[dev,postgis]'
	@touch $@

check: env  ## ruff (lint, format, docstrings), mypy --strict, the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: env  ## Build the documentation into docs/_build/html; it runs the tutorial, and the reference comes from the code
	$(BIN)/python -m sphinx -q -W -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: env build/eolearn/.installed  ## Ratios measured side by side, in one run
	$(BIN)/python -m benchmarks

build/eolearn/.installed:  # what gap-filling is compared with; its pins are not ours
	$(PYTHON) -m venv build/eolearn
	build/eolearn/bin/pip install --quiet --disable-pip-version-check eo-learn==1.5.7 numba scipy scikit-learn
	@touch $@

lock:  ## Write requirements.lock anew from pyproject.toml, in a fresh environment
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet 'torch==2.13.0' '.[dev,docs,postgis]'
	(echo "# make lock: every package of the environment, for Python 3.11 and later"; \
	 build/lock/bin/pip freeze --exclude bocage | sed 's/+cpu//') > requirements.lock

clean:  ## Remove what the targets made
	rm -rf $(VENV) runs/demo build/notebooks docs/_build $(addprefix docs/,api commands drawings example_pages shelves tables terms) src/bocage/view/static src/bocage/view/web/node_modules
