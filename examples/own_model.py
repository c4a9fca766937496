"""Certify a model of your own, with a training loop of your own, on scikit-learn's digits.

    python examples/own_model.py

What matters is that the model is trained on ablated inputs, encoded as they will be at test time,
with the same number of retained features.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import sparsecert as sc


def main() -> None:
    """Train, certify, print."""
    torch.manual_seed(0)
    pixels, classes = load_digits(return_X_y=True)
    images = torch.from_numpy(pixels / 16).float().view(-1, 1, 8, 8)  # values in [0, 1]
    split = train_test_split(images, torch.from_numpy(classes), test_size=50, random_state=0)
    train_images, test_images, train_labels, test_labels = split

    ablation = sc.UniformAblation(num_features=64, num_retained=12)
    model = nn.Sequential(nn.Flatten(), nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(2_000):
        rows = torch.randint(len(train_images), (128,))
        logits = model(sc.ablate(train_images[rows], ablation))
        loss = nn.functional.cross_entropy(logits, train_labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    smoothed = sc.SmoothedClassifier(model, ablation, num_classes=10)
    certificate = smoothed.certify(test_images, num_selection=200, num_samples=2_000, seed=0)
    correct = certificate.label == test_labels.numpy()
    print("median certified pixels:", sc.median_certified_robustness(certificate.radius, correct))
    print("certified accuracy at 1:", sc.certified_accuracy(certificate.radius, correct, 1))


if __name__ == "__main__":
    main()
