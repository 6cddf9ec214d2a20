#!/bin/sh
# Runs lm_eval_example.py with a harness of its own, from PyPI:
# lm_eval_example.sh PROGRAM SOURCE_DIR SHARED_DIR WORK_DIR
set -eu
program=$1 source=$2 shared=$3 work=$4
mkdir -p "$work"
if [ ! -x "$work/venv/bin/lm_eval" ]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet lm_eval==0.4.13
fi
# A copy: setuptools builds beside the sources.
rm -rf "$work/package"
cp -r "$source/apps/lm_eval_larder" "$work/package"
"$work/venv/bin/pip" install --quiet --no-deps "$work/package"
# Nothing is fetched: the tasks' items are here.
HF_HOME=$work/huggingface HF_DATASETS_OFFLINE=1 HF_HUB_OFFLINE=1
export HF_HOME HF_DATASETS_OFFLINE HF_HUB_OFFLINE
"$work/venv/bin/python" "$source/tests/lm_eval_example.py" "$program" "$shared" "$work"
