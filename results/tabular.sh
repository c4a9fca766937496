#!/usr/bin/env bash
# Random ablation against partitions, on data that ship with scikit-learn (docs/choosing.md). Minutes on a
# CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
run() { # name, rules, options of train
    local name=$1 rules=$2
    shift 2
    .venv/bin/sparsecert train --recipe fast --out "runs/$name" "$@"
    for rule in $rules; do
        .venv/bin/sparsecert certify "runs/$name" --rule "$rule" --record "results/$name-$rule.json"
    done
}
random="majority pairwise"
fixed="plurality run-off pairwise"
run breast-cancer-k6 "$random" --data breast-cancer --retained 6 --epochs 200
run breast-cancer-p15 "$fixed" --data breast-cancer --design partition --sets 15 --copies 4 \
    --layout random --width 32 --epochs 200
run digits-p16 "$fixed" --data digits --design partition --sets 16 --copies 8 --layout random \
    --width 64 --epochs 200
