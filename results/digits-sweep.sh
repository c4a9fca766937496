#!/usr/bin/env bash
# What docs/choosing.md shows of digits, by k and by recipe; a few minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
for k in 8 10 12 14 16; do
    run=runs/digits-k$k
    .venv/bin/sparsecert train --data digits --retained $k --epochs 200 --out "$run"
    for rule in pairwise margin majority; do
        .venv/bin/sparsecert certify "$run" --num-selection 200 --num-samples 2000 --rule $rule \
            --record "results/digits-k$k-$rule.json"
    done
done
for radius in 1 2; do # docs/choosing.md#training-for-the-radius
    run=runs/digits-k16-r$radius
    .venv/bin/sparsecert train --data digits --retained 16 --recipe radius --radius $radius \
        --start runs/digits-k16 --out "$run"
    .venv/bin/sparsecert certify "$run" --num-selection 200 --num-samples 2000 --rule pairwise \
        --record "results/digits-k16-r$radius-pairwise.json"
done
