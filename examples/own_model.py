"""Certify a model of your own, with a training loop of your own, on scikit-learn's digits.

    python examples/own_model.py

What matters is that the model is trained on ablated inputs, encoded as they will be at test time,
with the same number of retained features.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import sparsecert as sc
from sparsecert import data


def main() -> None:
    """Train, certify, print."""
    torch.manual_seed(0)
    train, test = data.load("digits", "train"), data.load("digits", "test")
    ablation = sc.UniformAblation(num_features=64, num_retained=12)
    encoding = sc.TwoChannelEncoding()
    model = nn.Sequential(nn.Flatten(), nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 10))

    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = np.random.default_rng(0)
    for step in range(2_000):
        rows = generator.integers(len(train), size=128)
        mask = ablation.draw(sc.samples(0, sc.Stage.TRAINING_MASKS, step, len(rows)))
        logits = model(encoding(train.batch(rows), torch.from_numpy(mask)))
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(train.labels[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    smoothed = sc.SmoothedClassifier(model, ablation, num_classes=10)
    images, labels = test.batch(range(0, 450, 9)), test.labels[::9]
    certificate = smoothed.certify(images, num_selection=200, num_samples=2_000)
    correct = certificate.label == labels
    print("median certified pixels:", sc.median_certified_robustness(certificate.radius, correct))
    print("certified accuracy at 1:", sc.certified_accuracy(certificate.radius, correct, 1))


if __name__ == "__main__":
    main()
