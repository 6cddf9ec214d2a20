#!/bin/sh
# Runs the example of Spark's pipe in a Spark of its own, from PyPI (needs a Java 17 runtime), and
# compares with one process: spark_example.sh PROGRAM SOURCE_DIR WORK_DIR
set -eu
program=$1 source=$2 work=$3
mkdir -p "$work"
if [ ! -x "$work/venv/bin/spark-submit" ]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet pyspark==4.3.0
fi
# Spark starts the interpreter of its environment.
PATH=$work/venv/bin:$PATH
export PATH

i=0
while [ $i -lt 60 ]; do
  echo "{\"custom_id\":\"r$i\",\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"Once $i\"}}"
  i=$((i + 1))
done > "$work/in.jsonl"
# One item that fails must not fail its partition.
echo '{"custom_id":"bad","url":"/v1/completions","body":{"prompt":7}}' >> "$work/in.jsonl"

rm -rf "$work/out"
spark-submit --master 'local[2]' "$source/apps/sharding/spark_pipe.py" "$work/in.jsonl" \
  "$work/out" 4 "$program" batch -t 1 2> "$work/spark.log" || { tail "$work/spark.log" >&2; exit 1; }
code=0
"$program" batch -t 1 -q -i "$work/in.jsonl" -o "$work/whole.jsonl" || code=$?
[ $code -eq 5 ]
# A failed item's line is counted inside its partition, and its record's id is made of that.
cat "$work"/out/part-* | grep -v '"custom_id":"bad"' > "$work/parts.jsonl"
grep -v '"custom_id":"bad"' "$work/whole.jsonl" | cmp - "$work/parts.jsonl"
[ "$(cat "$work"/out/part-* | grep -c '"custom_id":"bad"')" -eq 1 ]
echo "spark: $(wc -l < "$work/parts.jsonl") records, the same as of one process"
