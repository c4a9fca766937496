"""The types of what is read from records, which may come from others."""

from __future__ import annotations

from typing import Any

_NUMBER = float | None
_PAIR = tuple[float, float]
_RECORD = {
    "dataset": str,
    "limit": int | None,
    "shard": str | None,
    "num_images": int,
    "num_samples": int,
    "alpha": float,
    "seed": int,
    "accuracy": float,
    "command": str,
    "hardware": str,
    "seconds": float,
    "training_seconds": _NUMBER,
    "version": str,
}
CERTIFICATION: dict[str, Any] = _RECORD | {
    "num_selection": int,
    "sampling": str,
    "rule": str,
    "threat": str,
    "abstain": float,
    "top": int,
    "target": int | None,
    "abstained": float,
    "ablated_accuracy": float,
    "median_certified_robustness": _NUMBER,
    "median_certified_robustness_authors_convention": _NUMBER,
    "certified_accuracy": tuple[float, ...],
    "intervals": {
        "accuracy": _PAIR,
        "abstained": _PAIR,
        "median_certified_robustness": tuple[_NUMBER, _NUMBER] | None,
        "certified_accuracy": tuple[_PAIR, ...],
    },
}
ATTACK: dict[str, Any] = _RECORD | {
    "classifier": str,
    "attack": str,
    "rule": str | None,
    "success": float,
    "median_attack_magnitude": _NUMBER,
    "intervals": {
        "accuracy": _PAIR,
        "success": _PAIR,
        "median_attack_magnitude": tuple[_NUMBER, _NUMBER] | None,
    },
    "successes_within_certificate": int | None,
    "attempts_within_certificate": int | None,
    "misclassified_within_certificate": tuple[int, ...] | None,
    "abstained_within_certificate": tuple[int, ...] | None,
    "queries": int,
    "ballots": dict.fromkeys(
        ("needed_without_savings", "drawn", "saved_by_cache", "saved_by_early_answers"), int
    ),
}
