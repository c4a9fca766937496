"""Shapes and types in annotations are checked at run time while the tests run."""

from __future__ import annotations

import os

# Two threads on two busy cores are slower than one here, and the numbers must not depend on it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
import pytest

import tests.typechecker

jaxtyping.install_import_hook("sparsecert", f"{tests.typechecker.__name__}.typechecker")


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users have no type checker at run time; where ours would get there first, switch it off."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
