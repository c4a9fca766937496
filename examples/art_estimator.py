"""An estimator in the style of the Adversarial Robustness Toolbox: NumPy in, NumPy out.

    python examples/art_estimator.py

`predict` gives `(batch, classes)` shares of the votes and `certify` gives classes and radii, as
ART's randomised smoothing does, so that scripts that drive its estimators can drive this one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import sparsecert as sc


class RandomizedAblationClassifier:
    """A smoothed classifier on NumPy arrays.

    Args:
        base: any base classifier, trained on ablated inputs.
        ablation: which features it was shown.
        nb_classes: its outputs.
        sample_size: votes that select a class, and votes of a prediction.
        certify_size: votes that certify it.
        alpha: error probability of each answer.
        preprocessing: brings inputs to [0, 1]; by default they are there.
    """

    def __init__(
        self,
        base: object,
        ablation: sc.UniformAblation,
        nb_classes: int,
        sample_size: int = 1_000,
        certify_size: int = 10_000,
        alpha: float = 0.001,
        preprocessing: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
    ) -> None:
        self.smoothed = sc.SmoothedClassifier(base, ablation, nb_classes)
        self.nb_classes, self.alpha = nb_classes, alpha
        self.sample_size, self.certify_size = sample_size, certify_size
        self.preprocessing = preprocessing

    def predict(self, x: NDArray[Any], batch_size: int = 128) -> NDArray[np.float32]:
        """`(batch, classes)` shares of the votes, all 0 where it abstains."""
        shares = []
        for start in range(0, len(x), batch_size):
            found = self.smoothed.predict(
                self._tensor(x[start : start + batch_size]), self.sample_size, self.alpha
            )
            named = (found.label != sc.ABSTAIN)[:, None]
            shares.append(named * found.counts / found.num_samples[:, None])
        return np.concatenate(shares).astype(np.float32)

    def certify(
        self, x: NDArray[Any], batch_size: int = 128
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Classes and radii in features, -1 and 0 where it abstains."""
        labels, radii = [], []
        for start in range(0, len(x), batch_size):
            found = self.smoothed.certify(
                self._tensor(x[start : start + batch_size]),
                self.sample_size,
                self.certify_size,
                self.alpha,
            )
            certified = found.radius >= 0
            labels.append(np.where(certified, found.label, sc.ABSTAIN))
            radii.append(np.where(certified, found.radius, 0))
        return np.concatenate(labels), np.concatenate(radii)

    def _tensor(self, x: NDArray[Any]) -> torch.Tensor:
        ready = x if self.preprocessing is None else self.preprocessing(x)
        return torch.from_numpy(np.ascontiguousarray(ready, dtype=np.float32))


def main() -> None:
    """Train scikit-learn's perceptron on ablated digits and certify fifty."""
    torch.manual_seed(0)
    pixels, classes = load_digits(return_X_y=True)
    scaled = (pixels / 16).astype(np.float32)
    ablation = sc.UniformAblation(num_features=64, num_retained=16)
    views = [sc.ablate(torch.from_numpy(scaled[:1_700]), ablation).numpy() for _ in range(10)]
    base = MLPClassifier((128,), max_iter=80, early_stopping=True, random_state=0)
    base.fit(np.concatenate(views), np.tile(classes[:1_700], len(views)))

    estimator = RandomizedAblationClassifier(base, ablation, 10, certify_size=2_000)
    labels, radii = estimator.certify(scaled[-50:])
    correct = labels == classes[-50:]
    print("accuracy:", (estimator.predict(scaled[-50:]).argmax(axis=1) == classes[-50:]).mean())
    print("certified accuracy at 1:", sc.certified_accuracy(radii, correct, 1))


if __name__ == "__main__":
    main()
