# make demo and make test work right after the checkout: they set up .venv from the pinned lock.
PYTHON ?= python3
BIN := .venv/bin
KEEP := $(if $(RESULTS),--results $(RESULTS))

.PHONY: setup demo test test-slow check bench bench-gpu

setup: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sparsecert needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	$(BIN)/sparsecert demo

test: setup
	$(BIN)/python -m pytest -m "not slow"

test-slow: setup
	$(BIN)/python -m pytest -m slow

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Some minutes on two idle cores. RESULTS=results keeps the records: make bench RESULTS=results
bench: setup
	$(BIN)/python benchmarks/overhead.py $(KEEP)
	$(BIN)/python benchmarks/imagenet_size.py --rounds 3 $(KEEP)
	$(BIN)/python benchmarks/growth.py --rounds 3 $(KEEP)

bench-gpu: setup
	$(BIN)/python benchmarks/gpu.py $(KEEP)
