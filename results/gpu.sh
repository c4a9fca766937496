#!/usr/bin/env bash
# What a machine with a GPU is for, the most wanted first: CIFAR-10's points (docs/choosing.md), then the paper's tables
# at full size (docs/reproduce.md): its recipe, all test images (of Table 2, whose attack takes minutes an image, 50).
#
#     SPARSECERT_DATA=/path/to/data results/gpu.sh
#
# Killed at any point, it goes on where it stopped when started again, so it can be run in pieces:
#
#     timeout 580 results/gpu.sh
#
# EPOCHS and LIMIT: of the networks for CIFAR-10's points, and images of each. RECIPE=fast: of the tables.
# SPARSECERT="python -m sparsecert": where there is no .venv. What has not been run is not in README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
sparsecert=${SPARSECERT:-.venv/bin/sparsecert} data=${DATA:-cifar10} epochs=${EPOCHS:-120} limit=${LIMIT:-1000}

train() { # name, k, options of train
    local name=$1 k=$2
    shift 2
    if [ ! -e "runs/$name/model.safetensors" ]; then
        $sparsecert train --data "$data" --retained "$k" --out "runs/$name" "$@"
    fi
}
certify() { # name, rule, options of certify
    local name=$1 rule=$2
    shift 2
    if [ ! -e "results/$name-$rule.json" ]; then
        $sparsecert certify "runs/$name" --rule "$rule" --limit "$limit" --sampling sequential \
            --record "results/$name-$rule.json" "$@"
    fi
}

# The paper's network for many k at once. First its row at k = 75, then fewer pixels by the pairwise rule.
many="--model resnet18 --recipe fast --augmentation warp-colour --weight-average 0.999"
# shellcheck disable=SC2086
train cifar10-k75-resnet18 75 $many --retained-range 0.8 1.25 --epochs "$epochs"
certify cifar10-k75-resnet18 majority
# shellcheck disable=SC2086
train cifar10-k35-resnet18 35 $many --retained-range 0.5 1.5 --epochs $((epochs / 2)) --start runs/cifar10-k75-resnet18
for k in 50 35 25 20; do
    train "cifar10-k$k-resnet18" "$k" --epochs 0 --start runs/cifar10-k35-resnet18
    certify "cifar10-k$k-resnet18" pairwise
done
# Then each k for the radius that is wanted of it: 10 at 74 %, 13 at 66 %, 18 at 60 %.
for point in 50:10 35:13 20:18; do
    k=${point%:*} radius=${point#*:}
    train "cifar10-k$k-resnet18-r$radius" "$k" --recipe radius --radius "$radius" --start "runs/cifar10-k$k-resnet18"
    certify "cifar10-k$k-resnet18-r$radius" pairwise --num-samples 100000 --target "$radius"
done

$sparsecert reproduce table3 --recipe "${RECIPE:-paper}" --retained 75
for table in table1 table8 table7 table3 table4 table5 table2; do
    $sparsecert reproduce "$table" --recipe "${RECIPE:-paper}"
done
