"""Certificates and confidence bounds: NumPy and SciPy only, from arrays to arrays."""

from sparsecert.theory.shift import ablation_shift

__all__ = ["ablation_shift"]
