#!/usr/bin/env bash
# The paper's Table 1, all twenty k, from three networks that serve many k each. Two and a half hours of one CPU
# core to train, and two to five minutes for each k:
#
#     SPARSECERT_DATA=/path/to/data results/table1.sh
set -euo pipefail
cd "$(dirname "$0")/.."
sparsecert=.venv/bin/sparsecert
limit=${LIMIT:-300}
$sparsecert train --data mnist --retained 38 --retained-range 0.74 1.32 --epochs 55 --out runs/mnist-k38 # of frontier.sh too
$sparsecert train --data mnist --retained 50 --retained-range 0.5 2 --epochs 12 --start runs/mnist-k38 \
    --out runs/mnist-k50-many
dense() { # k, share of it, another share
    $sparsecert train --data mnist --retained "$1" --retained-range "$2" "$3" --model dense-interpolating-cnn \
        --epochs 90 --out "runs/mnist-k$1-dense" # of frontier.sh too
}
dense 14 0.3 1.8
dense 36 0.55 1.45
for k in 45 15 75 25 35 100 20 55 10 30 40 50 65 85 60 70 80 90 95 5; do
    network=mnist-k50-many
    if [ "$k" -le 30 ]; then network=mnist-k36-dense; fi
    if [ "$k" -le 15 ]; then network=mnist-k14-dense; fi
    name=table1-mnist-k$k
    if [ "$k" = 15 ]; then name+=-dense; fi # table1-mnist-k15-majority is of an earlier network, as its command says
    $sparsecert train --data mnist --retained "$k" --epochs 0 --start "runs/$network" --out "runs/table1/mnist-k$k"
    $sparsecert certify "runs/table1/mnist-k$k" --rule majority --sampling sequential --limit "$limit" \
        --record "results/$name-majority.json"
done
