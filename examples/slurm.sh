#!/bin/sh
# Certify on a Slurm cluster, a share of the images in each task of an array.
#
#   job=$(sbatch --parsable examples/slurm.sh runs/mnist-k45 --limit 1000)
#   sbatch --dependency=afterok:$job --wrap 'sparsecert merge runs/mnist-k45/shards/* --into runs/mnist-k45'
#
# Each task writes to a folder of its own in the run folder, which lies where all nodes see it. A task
# that is killed or requeued goes on where it stopped; one that failed for good is sent again alone,
# with --array=5 and the number of shares in place of SLURM_ARRAY_TASK_COUNT.
#SBATCH --array=1-8
#SBATCH --cpus-per-task=1
#SBATCH --requeue
set -eu
run=$1
shift
# Passes run side by side on as many cores. exec, so that Slurm's SIGTERM reaches the command.
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
exec sparsecert certify "$run" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" "$@"
