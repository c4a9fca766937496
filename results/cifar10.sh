#!/usr/bin/env bash
# CIFAR-10 (docs/choosing.md): one network for many k. An hour and a half of one core to train, a quarter of an
# hour to certify 250 images. On a GPU, longer and on more images:
#
#     SPARSECERT_DATA=/path/to/data results/cifar10.sh
#     SPARSECERT_DATA=/path/to/data EPOCHS=200 LIMIT=10000 results/cifar10.sh
set -euo pipefail
cd "$(dirname "$0")/.."
epochs=${EPOCHS:-36} limit=${LIMIT:-250} suffix=${EPOCHS:+-e$EPOCHS}
certify() { # k, rule
    .venv/bin/sparsecert certify "runs/cifar10-k$1$suffix" --rule "$2" --limit "$limit" --sampling sequential \
        --record "results/cifar10-k$1$suffix-$2.json"
}
.venv/bin/sparsecert train --data cifar10 --retained 75 --recipe fast --epochs "$epochs" \
    --out "runs/cifar10-k75$suffix"
for rule in majority margin pairwise; do
    certify 75 "$rule"
done
for k in 50 35; do
    .venv/bin/sparsecert train --data cifar10 --retained "$k" --recipe fast --epochs 0 \
        --start "runs/cifar10-k75$suffix" --out "runs/cifar10-k$k$suffix"
    certify "$k" pairwise
done
.venv/bin/sparsecert attack "runs/cifar10-k50$suffix" --attack greedy --rule pairwise --limit 20 \
    --record "results/attack-cifar10-k50$suffix-greedy-pairwise-n20.json"
