#!/bin/sh
# All shards of a job by GNU parallel: gnu_parallel.sh N IN OUT COMMAND...
#
#   gnu_parallel.sh 4 texts.jsonl scores.jsonl score -m model.gguf -t 8
#
# On this machine, as many at once as JOBS says (2); on others with PARALLEL="--sshloginfile hosts"
# in the environment, where the files are on a file system that all see. Shards that fail are tried
# three times; run again after any end, it does what is missing, then merges.
set -eu
count=$1 input=$2 output=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
seq "$count" | parallel --will-cite --quote --jobs "${JOBS:-2}" --retries 3 --halt soon,fail=1 \
  "$here/shard.sh" {} "$count" "$input" "$output" "$@"
"$here/merge_shards.sh" "$count" "$output"
