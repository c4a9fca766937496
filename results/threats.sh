#!/usr/bin/env bash
# Patches, windows and the top K (docs/threats.md). MNIST and digits: minutes on a CPU. The records
# of the top K read votes that are counted for one class; cifar10-k50 is of `results/cifar10.sh`.
set -euo pipefail
cd "$(dirname "$0")/.."
sc=.venv/bin/sparsecert

for s in 2 4; do
    run=runs/mnist-columns$s
    $sc train --data mnist --design bands --layout columns:$s --width 256 --epochs 20 \
        --held-out 5000 --out "$run"
    $sc certify "$run" --threat patch:5x5 --rule pairwise --abstain best \
        --record "results/mnist-columns$s-patch5-pairwise.json"
    .venv/bin/python benchmarks/patches.py "$run" \
        --record "results/benchmark-patches-mnist-columns$s.json"
done
$sc attack runs/mnist-columns2 --attack patch --threat patch:5x5 --rule pairwise --abstain 0.16 \
    --record results/attack-mnist-columns2-patch5-pairwise-n20.json

# The 64 grey values of a digit as one vector, as if they were bytes of a file.
.venv/bin/python - <<'PYTHON'
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

x, y = load_digits(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(x, y, random_state=0, stratify=y)
np.savez("runs/digits64.npz", x_train=train_x, y_train=train_y, x_test=test_x, y_test=test_y)
PYTHON
$sc train --data runs/digits64.npz --design bands --layout window:10 --width 64 --epochs 100 \
    --held-out 300 --out runs/digits64-window10
$sc certify runs/digits64-window10 --threat window:1,4,8,12,16 --rule pairwise --abstain best \
    --record results/digits64-window10-pairwise.json

# CIFAR-10: hours on two cores.
$sc train --data cifar10 --design bands --layout columns:4 --model band-network --epochs 12 \
    --held-out 2000 --out runs/cifar10-columns4
.venv/bin/python benchmarks/patches.py runs/cifar10-columns4 \
    --record results/benchmark-patches-cifar10-columns4.json
$sc certify runs/cifar10-columns4 --threat patch:5x5 --rule pairwise --abstain 0.02 \
    --record results/cifar10-columns4-patch5-pairwise.json

$sc train --data mnist --retained 38 --retained-range 0.74 1.32 --epochs 55 --out runs/mnist-k38
$sc certify runs/mnist-k38 --limit 500 --sampling sequential --rule pairwise \
    --record results/mnist-k38-pairwise.json
for k in 2 3; do
    $sc certify runs/mnist-k38 --limit 500 --sampling sequential --rule pairwise --top $k \
        --record "results/mnist-k38-top$k-pairwise.json"
    $sc certify runs/cifar10-k50 --limit 250 --sampling sequential --rule pairwise --top $k \
        --record "results/cifar10-k50-top$k-pairwise.json"
done
