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

    # What single ballots are worth, and what did not make them better.
    base() { # run, options of train
        local run=$1
        shift
        .venv/bin/sparsecert train --data cifar10 --out "runs/$run" "$@"
        .venv/bin/sparsecert base "runs/$run" --limit 10000 --record "results/base-$run.json"
    }
    for k in 25 60 100 125 150; do
        base "cifar10-k$k-e120" --retained "$k" --epochs 0 --start runs/cifar10-k75-e120
    done
    for run in cifar10-k50-e120 cifar10-k75-e120 cifar10-k75; do
        .venv/bin/sparsecert base "runs/$run" --limit 10000 --record "results/base-$run.json"
    done
    regularised="--retained 60 --augmentation warp-colour --weight-average 0.999 --start runs/cifar10-k75-e120"
    # shellcheck disable=SC2086
    base cifar10-k60-e144 $regularised --model deep-interpolating-resnet --epochs 24
    base cifar10-k75-e144 --retained 75 --epochs 0 --start runs/cifar10-k60-e144
    # shellcheck disable=SC2086
    base cifar10-k60-cutmix $regularised --mixing cutmix --epochs 14

    # What does: both sides of each ablated image.
    base cifar10-k50-mirrored --retained 50 --model mirrored-wide-interpolating-resnet --epochs 0 \
        --start runs/cifar10-k75-e120
    .venv/bin/sparsecert certify runs/cifar10-k50-mirrored --rule pairwise --limit 250 --sampling sequential \
        --record results/cifar10-k50-mirrored-pairwise.json
fi

# A fixed family: no network for all sets, but a perceptron for each. 36 minutes of one core.
.venv/bin/sparsecert train --data cifar10 --design partition --layout stratified --sets 40 --copies 4 --width 128 \
    --epochs 20 --out runs/cifar10-p40
for rule in plurality run-off pairwise; do
    .venv/bin/sparsecert certify runs/cifar10-p40 --rule "$rule" --record "results/cifar10-p40-$rule.json"
done
