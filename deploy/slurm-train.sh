#!/bin/bash
# Training on two nodes of a Slurm cluster, an agent of torchrun on each.
#
#   RECIPE=lite0 DATA=/shared/fer2013.csv RUN=/shared/runs/lite0 sbatch deploy/slurm-train.sh
#
# A run that was stopped or lost a node goes on when the same script is submitted again.
#SBATCH --job-name=mien-train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=08:00:00
#SBATCH --output=mien-train-%j.log
set -euo pipefail
: "${RECIPE:?a recipe}" "${DATA:?the data}" "${RUN:?the folder of the run}"

# Not through "head": it may close the pipe while scontrol still writes, and pipefail would end the script.
nodes=$(scontrol show hostnames "${SLURM_JOB_NODELIST:?start this script with sbatch}")
head=${nodes%%$'\n'*}
arguments=(--data "$DATA" --recipe "$RECIPE" --out "$RUN")
if [ -f "$RUN/recipe.toml" ]; then
    arguments=(--resume "$RUN")
fi
srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" \
    --rdzv-backend c10d --rdzv-endpoint "$head:29500" --rdzv-id "$SLURM_JOB_ID" \
    -m mien.cli.app train "${arguments[@]}"
