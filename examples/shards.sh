#!/bin/sh
# Certify in N processes of this machine, a share of the images each, and join what they find.
#
#   sh examples/shards.sh runs/mnist-k45 4 --limit 1000
#
# On several machines that see one folder, run the line with --shard once on each, with a number of
# its own, and the last line when all are done. Without a common folder, copy the run folder to each
# machine, and the folders in its shards/ back. A repeated command goes on where it stopped.
set -eu
run=$1 count=$2
shift 2
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
processes= shard=1
while [ "$shard" -le "$count" ]; do
    sparsecert certify "$run" --shard "$shard/$count" "$@" >/dev/null &
    processes="$processes $!"
    shard=$((shard + 1))
done
for process in $processes; do wait "$process"; done # and stop here if one failed
exec sparsecert merge "$run/shards/"*"-of-$count" --into "$run"
