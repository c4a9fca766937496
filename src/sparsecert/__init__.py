"""Provable robustness against sparse (L0) attacks by randomized ablation."""
