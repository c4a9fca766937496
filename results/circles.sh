#!/usr/bin/env bash
# Circles of a finite plane against random ablation, the same weights (docs/partitions.md#circles-of-a-plane);
# some minutes on one core.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/sparsecert train --data digits --retained 9 --out runs/digits-k9
.venv/bin/sparsecert train --data digits --design inversive --order 8 --epochs 0 --start runs/digits-k9 \
    --out runs/digits-circles8
for rule in plurality run-off pairwise; do
    .venv/bin/sparsecert certify runs/digits-circles8 --rule $rule --record "results/digits-circles8-$rule.json"
done
.venv/bin/sparsecert certify runs/digits-k9 --rule pairwise --sampling sequential \
    --record results/digits-k9-pairwise.json
.venv/bin/sparsecert certify runs/digits-k9 --rule pairwise --sampling sequential --num-samples 100000 \
    --record results/digits-k9-n100000-pairwise.json

# What rho features touch at most, in percent: the first table of that page, in a minute.
.venv/bin/python - <<'END'
import sparsecert as sc

for shape, order, k in (((28, 28), 29, 28), ((32, 32), 32, 33)):
    circles, d = sc.inversive_circles(shape, order), shape[0] * shape[1]
    for rho in (5, 8, 10, 12, 15, 20):
        touched = 100 * circles.most_touched[rho] / circles.num_sets
        shifted = 100 * sc.ablation_shift(d, k, rho)
        print(f"d = {d}, rho = {rho}: circles {touched:.2f}, random {shifted:.2f}, partitions {100 * rho / order:.2f}")
END

# MNIST, with CIRCLES_OF_MNIST=yes: 23 548 ballots an image. Not run yet; for a GPU, or a night of two cores.
if [ "${CIRCLES_OF_MNIST:-no}" = yes ]; then
    .venv/bin/sparsecert train --data mnist --retained 28 --model dense-interpolating-cnn --retained-range 0.7 1.4 \
        --epochs 90 --out runs/mnist-k28-dense
    .venv/bin/sparsecert train --data mnist --retained 28 --model dense-interpolating-cnn --recipe radius \
        --radius 12 --start runs/mnist-k28-dense --out runs/mnist-k28-dense-r12
    .venv/bin/sparsecert train --data mnist --design inversive --order 29 --model dense-interpolating-cnn \
        --epochs 0 --start runs/mnist-k28-dense-r12 --out runs/mnist-circles29
    .venv/bin/sparsecert certify runs/mnist-circles29 --rule pairwise --limit 1000 \
        --record results/mnist-circles29-pairwise.json
fi
