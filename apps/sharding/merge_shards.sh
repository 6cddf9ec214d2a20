#!/bin/sh
# The whole from its shards, in the order of the input: merge_shards.sh N OUT
#
# Every line of the input gave one record, and shard I has lines I, I + N, ...: so taken in turn they
# are the whole, byte for byte. Needs results without --errors; with it, use cat and the ids.
set -eu
count=$1 output=$2
set --
index=1
while [ $index -le "$count" ]; do
  part=$output.$index-of-$count
  if [ ! -e "$part" ] || [ -e "$part.journal" ]; then
    echo "merge_shards.sh: shard $index is not complete: $part" >&2
    exit 1
  fi
  set -- "$@" "$part"
  index=$((index + 1))
done
# Shards that ended give empty lines; a record is never empty.
paste -d '\n' "$@" | sed '/^$/d' > "$output.partial"
mv "$output.partial" "$output"
