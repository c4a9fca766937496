#!/usr/bin/env bash
# The trade-off between accuracy and radius on MNIST past the paper's rules (docs/frontier.md). Each point
# trains in about an hour on two cores or less, and certifies 1 000 images (sampled) or all (partitions).
#
#     SPARSECERT_DATA=/path/to/data results/frontier.sh
set -euo pipefail
cd "$(dirname "$0")/.."
sampled() { # k, epochs
    local run=runs/mnist-k$1-e$2
    .venv/bin/sparsecert train --data mnist --retained "$1" --recipe fast --epochs "$2" --out "$run"
    for rule in majority margin pairwise; do
        .venv/bin/sparsecert certify "$run" --limit 1000 --rule $rule \
            --record "results/mnist-k$1-e$2-$rule.json"
    done
}
partition() { # sets, copies, width, epochs
    local name=mnist-p$1-c$2-w$3-e$4
    .venv/bin/sparsecert train --data mnist --design partition --layout stratified --sets "$1" \
        --copies "$2" --width "$3" --epochs "$4" --out "runs/$name"
    for rule in plurality run-off pairwise; do
        .venv/bin/sparsecert certify "runs/$name" --rule $rule --record "results/$name-$rule.json"
    done
}
sampled 16 75
sampled 26 75
