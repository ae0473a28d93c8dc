#!/usr/bin/env bash
# A whole experiment in one Slurm job: for studies of many short runs, where each job start costs more than the run.
#
#   sbatch -p gpu --gpus=4 -c 32 --mem=200G -t 1-0 slurm/one-node.sh --configfile my-study.yaml
#
# Everything behind the script's name goes to snakemake, which runs on the node with all cores of the job. Shortly before
# the time limit, and when the node is wanted back, training stops at a checkpoint and the job goes to the queue again.
# Use it from an environment in which `snakemake` is found (`source .venv/bin/activate`).
#SBATCH --job-name=calibench
#SBATCH --output=calibench-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@180
set -uo pipefail
set -m # a process group of its own for Snakemake, so that SIGINT reaches all of it, as Ctrl-C does

# Between stop and requeue Slurm may kill Snakemake before it removes its lock; this job is the only one that could hold it.
if ((${SLURM_RESTART_COUNT:-0})); then snakemake --unlock --quiet all "$@"; fi

snakemake --cores "${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}" --keep-going --rerun-incomplete --retries 1 "$@" &
study=$!

stop() {
    echo "one-node: $(date +%T) stopping; job $SLURM_JOB_ID goes on when Slurm starts it again"
    trap '' USR1 TERM
    kill -INT -- "-$study"
    wait "$study"
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}
trap stop USR1
wait "$study"
