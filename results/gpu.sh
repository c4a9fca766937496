#!/usr/bin/env bash
# The full-size MNIST run, for a machine with a GPU: the paper's recipe and the fast one at k = 45,
# certified on all 10 000 test images. Has not been run yet; what it would add is in README.md.
#
#     SPARSECERT_DATA=/path/to/data results/gpu.sh
#
# Killed at any point, it goes on where it stopped when started again, so it can be run in pieces:
#
#     timeout 580 results/gpu.sh
set -euo pipefail
cd "$(dirname "$0")/.."
for recipe in paper fast; do
    run=runs/mnist-k45-$recipe
    .venv/bin/sparsecert train --data mnist --retained 45 --recipe "$recipe" --out "$run"
    .venv/bin/sparsecert certify "$run" --record "results/mnist-k45-$recipe-full.json"
done
