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

# Two further cycles on one core, the second with more augmentation (docs/choosing.md).
if [ -z "$suffix" ]; then
    .venv/bin/sparsecert train --data cifar10 --retained 75 --recipe fast --epochs 44 --start runs/cifar10-k75 \
        --out runs/cifar10-k75-e80
    .venv/bin/sparsecert train --data cifar10 --retained 75 --recipe fast --epochs 40 --augmentation warp-colour \
        --weight-average 0.999 --start runs/cifar10-k75-e80 --out runs/cifar10-k75-e120
    .venv/bin/sparsecert train --data cifar10 --retained 50 --recipe fast --epochs 0 \
        --start runs/cifar10-k75-e120 --out runs/cifar10-k50-e120
    suffix=-e120 limit=500
    certify 75 majority
    certify 50 pairwise
fi
