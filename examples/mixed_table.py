"""Write a table of numbers and categories as commands read it, and the groups of its columns.

    python examples/mixed_table.py table

The rows are made up: applications for a loan, and whether it was paid back. Each category becomes
one column for each of its values, as the commands take numbers only; `--units` names the columns
that are one field of the form, so a radius counts fields. Prints the two commands that follow.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

ROWS = 4_000
CATEGORIES = {
    "housing": ["owns", "rents", "free"],
    "job": ["none", "unskilled", "skilled", "highly skilled"],
    "purpose": ["car", "furniture", "education", "business", "repairs"],
    "history": ["paid", "delayed", "critical"],
}


def applications(rng: np.random.Generator) -> pd.DataFrame:
    """Fields that all say a little about one hidden number, the applicant's means."""
    means = rng.normal(size=ROWS)

    def field(slope: float) -> np.ndarray:
        return slope * means + rng.normal(size=ROWS)

    table = pd.DataFrame(
        {
            "age": (40 + 11 * rng.normal(size=ROWS)).clip(18, 80).round(),
            "income": np.exp(7.5 + 0.4 * field(1.2)).round(),
            "savings": np.exp(6 + field(1.5)).round(),
            "duration": (24 - 7 * field(1.0)).clip(4, 72).round(),
            "amount": np.exp(8 - 0.5 * field(0.8)).round(),
            "years employed": (6 + 4 * field(1.2)).clip(0, 40).round(1),
        }
    )
    for name, values in CATEGORIES.items():
        place = pd.qcut(field(1.3), len(values), labels=False)
        table[name] = np.array(values)[place]
    table["label"] = np.where(means > 0, "repaid", "defaulted")
    return table


def main(folder: Path) -> None:
    """Write the two splits, and print what to do with them."""
    table = applications(np.random.default_rng(0))
    columns = pd.get_dummies(table, columns=list(CATEGORIES), prefix_sep=" ", dtype=float)
    folder.mkdir(parents=True, exist_ok=True)
    splits = train_test_split(columns, test_size=1_000, random_state=0, stratify=table["label"])
    for name, split in zip(("train", "test"), splits, strict=True):
        split.to_parquet(folder / f"{name}.parquet", index=False)
    groups = ",".join(
        "+".join(f"{name} {value}" for value in values) for name, values in CATEGORIES.items()
    )
    fields = len(table.columns) - 2  # but the label, and the age, which nobody can change
    print(
        f'sparsecert train --data {folder} --units "{groups}" --protect age --retained '
        f"{fields // 4} --recipe fast --out runs/mixed-table"
    )
    print("sparsecert certify runs/mixed-table --rule pairwise")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
