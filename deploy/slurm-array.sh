#!/bin/bash
# A data set of photos on a Slurm cluster: sixteen shards, each a task of an array, and their rows joined at the end.
#
#   PHOTOS=/shared/photos OUT=/shared/faces sbatch deploy/slurm-array.sh
#   mien batch status /shared/faces          # while it runs
#
# A task that is killed, or that runs out of time, is started again by submitting the same script again: it reads
# what is missing. Both folders must be visible to all nodes under the same path.
#SBATCH --job-name=mien
#SBATCH --array=1-16
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=512M
#SBATCH --time=04:00:00
#SBATCH --output=mien-%A-%a.log
#SBATCH --requeue
set -euo pipefail
: "${PHOTOS:?the folder, the list or the address of the photos}" "${OUT:?the folder of the data set}"

status=0
srun mien predict "$PHOTOS" --out "$OUT" \
    --shard "${SLURM_ARRAY_TASK_ID:?start this script with sbatch}/${SLURM_ARRAY_TASK_COUNT:?}" \
    --threads "${SLURM_CPUS_PER_TASK:?}" || status=$?
# 5: some files cannot be read. They have rows that say why, and the task is done.
if [ "$status" -ne 0 ] && [ "$status" -ne 5 ]; then
    exit "$status"
fi
