#!/bin/sh
# One shard of a job: shard.sh I N IN OUT COMMAND...
#
# COMMAND is larder's subcommand with its options, but -i, -o and --shard: score -m model.gguf.
# Makes OUT.I-of-N. Run again after any end, it does what is missing: nothing where the shard is
# whole, else from the shard's journal on. LARDER names another program than the one on PATH.
set -eu
index=$1 count=$2 input=$3 output=$4
shift 4
part=$output.$index-of-$count
if [ -e "$part" ] && [ ! -e "$part.journal" ]; then exit 0; fi

# A signal to this script is one to the program, which finishes what is under way (130, 143).
"${LARDER:-larder}" "$@" -i "$input" -o "$part" --shard "$index/$count" -q &
child=$!
trap 'kill -TERM $child 2> /dev/null' TERM INT
code=0
wait $child || code=$?
if kill -0 $child 2> /dev/null; then  # a signal ended the wait, not the program
  code=0
  wait $child || code=$?
fi
# 5: all is done, and some items are error records. No engine should try them again.
[ $code -eq 5 ] && code=0
exit $code
