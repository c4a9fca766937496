#!/usr/bin/env bash
# The sweep over k on digits that docs/choosing.md shows; a few minutes on two cores.
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
