"""Certify predictions against poisoned training data: how many training samples may be changed.

    python examples/poisoning.py

The training samples are dealt to 60 classifiers by their place in the data set. Each casts one
ballot, which depends on its own samples only, so the certificates of a fixed family hold with
training samples for units: whoever changes rho of them, pixels and labels, cannot change the
prediction. (Deep partition aggregation: Levine and Feizi, ICLR 2021.) To insert or remove samples
must not move the others to other classifiers: deal them by a hash of their own, and count a change
as a removal and an insertion.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import sparsecert as sc

NUM_CLASSIFIERS = 60


def main() -> None:
    """Train, certify, print."""
    x, y = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(x, y, random_state=0, stratify=y)

    family = sc.strided_partition(len(train_x), NUM_CLASSIFIERS)
    scores = np.full((len(test_x), NUM_CLASSIFIERS, 10), -np.inf)  # of classes not seen
    for t, own in enumerate(family.membership):
        model = make_pipeline(MinMaxScaler(), LogisticRegression(C=10, max_iter=1_000))
        model.fit(train_x[own], train_y[own])
        scores[:, t, model[-1].classes_] = model.predict_log_proba(test_x)

    for rule in ("plurality", "pairwise"):
        certificate = sc.certify_ballots(scores, family, rule)
        correct = certificate.label == test_y
        median = sc.median_certified_robustness(certificate.radius, correct)
        print(f"{rule}: accuracy {correct.mean():.3f}, median certified training samples: {median}")


if __name__ == "__main__":
    main()
