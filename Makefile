# make demo and make test work right after the checkout: they set up .venv from the pinned locks, make
# demo with what sparsecert needs to run, the others with their tools too.
PYTHON ?= python3
BIN := .venv/bin
KEEP := $(if $(RESULTS),--results $(RESULTS))

# Each test is run by one of two workers, whichever is free.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

.PHONY: setup setup-dev demo test test-slow coverage check docs bench bench-gpu leaderboard

setup: .venv/.installed

setup-dev: .venv/.installed-dev

.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sparsecert needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.lock
	touch $@

# The site: site/index.html, which needs no server. Any warning, such as a broken link, is an error.
docs: setup-dev
	rm -rf site
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --conf-dir docs . site

demo: setup
	$(BIN)/sparsecert demo

test: setup-dev
	$(PYTEST) -m "not slow"

test-slow: setup-dev
	$(BIN)/python -m pytest -m slow

# The lines that no test runs; an error below the share in pyproject.toml.
coverage: setup-dev
	$(PYTEST) -m "not slow" --cov --cov-report term

check: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Some minutes on two idle cores. RESULTS=results keeps the records: make bench RESULTS=results
bench: setup-dev
	$(BIN)/python benchmarks/overhead.py $(KEEP)
	$(BIN)/python benchmarks/imagenet_size.py --rounds 3 $(KEEP)
	$(BIN)/python benchmarks/sampling.py $(KEEP)
	$(BIN)/python benchmarks/growth.py --rounds 3 $(KEEP)
	env -u OMP_NUM_THREADS $(BIN)/python benchmarks/pool.py --rounds 3 $(KEEP)

bench-gpu: setup-dev
	$(BIN)/python benchmarks/gpu.py $(KEEP)

# docs/leaderboard.md; every submission is verified first.
leaderboard: setup
	$(BIN)/python leaderboard/page.py
