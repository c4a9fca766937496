"""Shapes and types in annotations are checked at run time while the tests run."""

from __future__ import annotations

import os

# Two threads on two busy cores are slower than one here, and the numbers must not depend on it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

import tests.typechecker

install_import_hook("sparsecert", f"{tests.typechecker.__name__}.typechecker")
