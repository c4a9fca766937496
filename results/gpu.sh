#!/usr/bin/env bash
# The paper's tables at full size (docs/reproduce.md), for a machine with a GPU: its recipe, all test
# images (of Table 2, whose attack takes minutes an image, 50).
#
#     SPARSECERT_DATA=/path/to/data results/gpu.sh
#
# Killed at any point, it goes on where it stopped when started again, so it can be run in pieces:
#
#     timeout 580 results/gpu.sh
#
# RECIPE=fast is the other recipe. What has not been run is not in README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
for table in table1 table8 table7 table3 table4 table5 table2; do
    .venv/bin/sparsecert reproduce "$table" --recipe "${RECIPE:-paper}"
done
