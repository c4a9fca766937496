#!/usr/bin/env bash
# The ImageNet pipeline on a sample of one image per class, on a CPU: a few steps of training and a few
# certificates from a few votes. It shows that the pipeline runs; the figures mean nothing.
#
#     SPARSECERT_DATA=/path/to/data results/imagenet-sample.sh
set -euo pipefail
cd "$(dirname "$0")/.."
sample=${SPARSECERT_DATA:?set SPARSECERT_DATA to the folder that holds imagenet-sample/}/imagenet-sample
folder=runs/imagenet-sample
mkdir -p "$folder/data"
ln -sf "$(realpath "$sample")/validation-00000-of-00001.parquet" "$folder/data/"
.venv/bin/python - "$folder/data" <<'PYTHON'
import sys
import pyarrow.parquet as pq
images = pq.read_table(f"{sys.argv[1]}/validation-00000-of-00001.parquet")
pq.write_table(images.slice(0, 128), f"{sys.argv[1]}/train-00000-of-00001.parquet")
PYTHON
for k in 500 1000 2000; do
    .venv/bin/sparsecert train --data "$folder/data" --retained $k --recipe fast --epochs 1 \
        --batch-size 32 --out "$folder/k$k"
    .venv/bin/sparsecert certify "$folder/k$k" --limit 2 --num-selection 20 --num-samples 200 \
        --record "results/imagenet-sample-k$k.json"
done
