"""Train a small vision transformer on ablated digits with Hugging Face's Trainer, and certify it.

    pip install transformers accelerate
    python examples/transformers_trainer.py

Its outputs are objects with `.logits`, which smoothed classifiers read.
"""

from __future__ import annotations

import tempfile

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

import sparsecert as sc

ABLATION = sc.UniformAblation(num_features=64, num_retained=20)


class Digits(Dataset[dict[str, Tensor]]):
    """The first 1 500 digits of scikit-learn, each seen through a new retained set."""

    def __init__(self) -> None:
        pixels, classes = load_digits(return_X_y=True)
        self.images = torch.from_numpy(pixels / 16).float().view(-1, 1, 8, 8)
        self.classes = torch.from_numpy(classes)
        self.ablate = sc.Ablate(ABLATION)

    def __len__(self) -> int:
        return 1_500

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {"pixel_values": self.ablate(self.images[row]), "labels": self.classes[row]}


def main() -> None:
    """Train, certify, print."""
    torch.manual_seed(0)
    digits = Digits()
    config = ViTConfig(
        image_size=8,
        patch_size=2,
        num_channels=2,  # each value and its complement
        num_labels=10,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
    )
    model = ViTForImageClassification(config)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=40,
            per_device_train_batch_size=64,
            learning_rate=2e-3,
            warmup_steps=50,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        Trainer(model=model, args=arguments, train_dataset=digits).train()

    smoothed = sc.SmoothedClassifier(model, ABLATION, num_classes=10)
    certificate = smoothed.certify(digits.images[-50:], num_selection=200, num_samples=2_000)
    correct = certificate.label == digits.classes[-50:].numpy()
    print("median certified pixels:", sc.median_certified_robustness(certificate.radius, correct))
    print("certified accuracy at 1:", sc.certified_accuracy(certificate.radius, correct, 1))


if __name__ == "__main__":
    main()
