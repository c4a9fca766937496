"""Certify predictions on a table of numbers and categories, for scikit-learn's breast cancer data.

    python examples/table.py

A radius counts cells of the table, whatever they hold: one changed category is one changed cell.
"""

from __future__ import annotations

import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import sparsecert as sc


def main() -> None:
    """Train, certify, print."""
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    x["mean texture"] = pd.qcut(x["mean texture"], 4, labels=["fine", "even", "rough", "coarse"])
    y = y.map({0: "malignant", 1: "benign"})
    train_x, test_x, train_y, test_y = train_test_split(x, y, random_state=0, stratify=y)

    model = sc.SparseCertifiedClassifier(num_sets=15).fit(train_x, train_y)
    rows = model.certify_rows(test_x)
    correct = rows.label == test_y.to_numpy()
    table = pd.DataFrame(
        {"label": rows.label, "radius": rows.radius, "runner-up": rows.runner_up}
        | {f"votes for {name}": rows.votes[:, c] for c, name in enumerate(model.classes_)}
    )
    print(table.head().to_string(), "\n")
    for rho in (0, 2, 4):
        share = sc.certified_accuracy(rows.radius, correct, rho)
        print(f"right, and {rho} cells cannot change it: {share:.2f}")


if __name__ == "__main__":
    main()
