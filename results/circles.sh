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
