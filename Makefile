# Targets: setup (make .venv), demo (train and evaluate on embedded data), test, lint.
PYTHON ?= python3.11
EXTRAS ?= test,video
PYTEST_WORKERS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help setup demo test lint clean

help:
	@echo "make setup   install pinned, tested versions into .venv"
	@echo "make demo    train and evaluate a small MAT on embedded data (runs/demo/report.html)"
	@echo "make test    run the tests"
	@echo "make lint    ruff and mypy"

setup:
	@PYTHON="$(PYTHON)" EXTRAS="$(EXTRAS)" tools/setup.sh

demo: setup
	@$(BIN)/python run_train.py --config=configs/demo.py --workdir=runs/demo
	@$(BIN)/python run_eval.py --config=configs/demo.py --workdir=runs/demo --split=test --out=runs/demo
	@echo "report: $(CURDIR)/runs/demo/report.html"

test: setup
	@$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

clean:
	rm -rf .venv runs build *.egg-info
