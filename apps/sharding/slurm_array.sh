#!/bin/sh
#SBATCH --job-name=larder
#SBATCH --array=1-8
#SBATCH --cpus-per-task=8
#SBATCH --mem=24G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
# One shard by a task of a Slurm array: sbatch slurm_array.sh IN OUT COMMAND...
#
#   sbatch --array=1-16 slurm_array.sh texts.jsonl scores.jsonl score -m model.gguf --ram 20G
#
# Two minutes before the time is up the program is asked to end; it finishes what is under way and
# ends with 143, and the task is queued again, to go on from its journal. A node that dies is
# requeued by Slurm itself. Array indices count from 1. When all are done: merge_shards.sh 16 OUT.
set -eu
input=$1 output=$2
shift 2
# sbatch runs a copy of this script: where the others are has to be told, or is the folder that the
# job was submitted from.
here=${LARDER_SHARDING:-${SLURM_SUBMIT_DIR:-$(dirname "$0")}}
code=0
"$here/shard.sh" "$SLURM_ARRAY_TASK_ID" "$SLURM_ARRAY_TASK_COUNT" "$input" "$output" "$@" \
  -t "${SLURM_CPUS_PER_TASK:-1}" &
shard=$!
trap 'kill -TERM $shard 2> /dev/null' TERM
wait $shard || code=$?
if kill -0 $shard 2> /dev/null; then
  code=0
  wait $shard || code=$?
fi
if [ $code -eq 143 ]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit $code
