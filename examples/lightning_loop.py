"""Train a base classifier with Lightning, ablating in the data loader's workers, and certify it.

pip install lightning
python examples/lightning_loop.py
"""

from __future__ import annotations

import lightning
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import sparsecert as sc

ABLATION = sc.UniformAblation(num_features=64, num_retained=12)


class Digits(Dataset[tuple[Tensor, int]]):
    """The first 1 500 digits of scikit-learn, each seen through a new retained set."""

    def __init__(self) -> None:
        pixels, self.classes = load_digits(return_X_y=True)
        self.images = torch.from_numpy(pixels / 16).float().view(-1, 1, 8, 8)
        self.ablate = sc.Ablate(ABLATION)

    def __len__(self) -> int:
        return 1_500

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.ablate(self.images[row]), int(self.classes[row])


class Classifier(lightning.LightningModule):
    """A perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 10)
        )

    def forward(self, encoded: Tensor) -> Tensor:
        """`(batch, 10)` logits."""
        logits: Tensor = self.layers(encoded)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        """The loss of a minibatch."""
        encoded, labels = batch
        return nn.functional.cross_entropy(self(encoded), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


def main() -> None:
    """Train, certify, print."""
    lightning.seed_everything(0, workers=True)
    digits, model = Digits(), Classifier()
    trainer = lightning.Trainer(
        max_epochs=20,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    loader = DataLoader(digits, 64, shuffle=True, num_workers=1, persistent_workers=True)
    trainer.fit(model, loader)

    smoothed = sc.SmoothedClassifier(model, ABLATION, num_classes=10)
    certificate = smoothed.certify(digits.images[-50:], num_selection=200, num_samples=2_000)
    correct = certificate.label == digits.classes[-50:]
    print("median certified pixels:", sc.median_certified_robustness(certificate.radius, correct))
    print("certified accuracy at 1:", sc.certified_accuracy(certificate.radius, correct, 1))


if __name__ == "__main__":
    main()
