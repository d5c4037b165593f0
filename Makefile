# Everything runs in .venv, which `setup` makes from setup.cfg and constraints.txt.
PYTHON ?=
EXTRAS ?=
PYTEST_WORKERS ?= 2
PYTEST_ARGS ?=
RUN := .venv/bin/python
DEMO := runs/demo
WEIGHTS := matnet-lite0-experimental

.PHONY: help setup demo test lint docs clean

help:
	@echo "make setup   install pinned, tested versions into .venv"
	@echo "             (PYTHON=/path/to/python3.13, EXTRAS=test,video,torch: see setup.cfg)"
	@echo "make demo    train and evaluate a small MAT on embedded data ($(DEMO)/report.html),"
	@echo "             then score real faces by the weights in the package ($(DEMO)/faces)"
	@echo "make test    run the tests (PYTEST_WORKERS=2, PYTEST_ARGS='-k agda')"
	@echo "make lint    ruff, mypy, and who may import whom"
	@echo "make docs    the documentation as a site in site/ (EXTRAS=test,video,docs)"
	@echo "make clean   remove .venv, runs, site and caches"

setup:
	@PYTHON="$(PYTHON)" EXTRAS="$(EXTRAS)" tools/setup.sh

demo: setup
	@$(RUN) run_train.py --config=configs/demo.py --workdir=$(DEMO)
	@$(RUN) run_eval.py --config=configs/demo.py --workdir=$(DEMO) --split=test --out=$(DEMO)
	@echo "real faces, and altered ones, by the weights in the package:"
	@$(RUN) -m matnet_jax predict docs/examples/faces --weights=$(WEIGHTS) --only_media --overlay --out=$(DEMO)/faces
	@echo "open in a browser: $(CURDIR)/$(DEMO)/report.html"
	@echo "             and: $(CURDIR)/$(DEMO)/faces/predictions.html"

# Fixtures of a file train and build records once: a file stays with one worker, but for those that
# tests/conftest.py shares out.
test: setup
	@$(RUN) -m pytest -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

lint: setup
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --check --quiet .
	@$(RUN) -m mypy
	@$(RUN) -m mypy --config-file=tests/mypy.ini
	@.venv/bin/lint-imports

docs: setup
	@$(RUN) -c "import mkdocs" 2>/dev/null || { echo "the extra docs is missing: make docs EXTRAS=test,video,docs"; exit 1; }
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict
	@echo "open in a browser: $(CURDIR)/site/index.html"

clean:
	rm -rf .venv runs site build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
