#!/usr/bin/env bash
# CIFAR-10 past the paper's rules (docs/choosing.md): an hour of one core to train, some minutes to certify.
# On a GPU, a larger network:
#
#     SPARSECERT_DATA=/path/to/data results/cifar10.sh
#     SPARSECERT_DATA=/path/to/data MODEL=resnet18 EPOCHS=200 results/cifar10.sh
set -euo pipefail
cd "$(dirname "$0")/.."
model=${MODEL:-interpolating-resnet} suffix=${MODEL:+-$MODEL}
certify() { # k, images
    .venv/bin/sparsecert certify "runs/cifar10-k$1$suffix" --rule pairwise --limit "$2" --sampling sequential \
        --record "results/cifar10-k$1$suffix-pairwise.json"
}
.venv/bin/sparsecert train --data cifar10 --retained 20 --recipe fast --model "$model" --epochs "${EPOCHS:-100}" \
    --out "runs/cifar10-k20$suffix"
.venv/bin/sparsecert train --data cifar10 --retained 30 --recipe fast --epochs 0 --start "runs/cifar10-k20$suffix" \
    --out "runs/cifar10-k30$suffix"
certify 20 1000
certify 30 500
.venv/bin/sparsecert attack "runs/cifar10-k20$suffix" --attack greedy --rule pairwise --limit 20 \
    --record "results/attack-cifar10-k20$suffix-greedy-pairwise-n20.json"
