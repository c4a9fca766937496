"""Shapes and types in annotations are checked at run time while the tests run."""

from __future__ import annotations

import os

# Two threads on two busy cores are slower than one here, and the numbers must not depend on it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
import pytest

import tests.typechecker

jaxtyping.install_import_hook("sparsecert", f"{tests.typechecker.__name__}.typechecker")
pytest.register_assert_rewrite("tests.helpers")

# A module of its own, which may import sparsecert now that the hook is installed.
pytest_plugins = ["tests.helpers.fixtures"]
