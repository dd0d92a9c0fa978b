#!/bin/bash
# The tests that need a GPU and the benchmarks there, in under eight minutes, as one table: bash benchmarks/gpu.sh
#
# PYTHON   the interpreter (python3)
# OUT      where gpu.csv, gpu.log and the tests' log go (benchmarks)
# CORPUS   a corpus for two epochs of the demo (data/openi-sim-128px)
# STEPS    which of: what tests kernels search demo_steps paper_steps corpus (all)
# WORKERS  processes of the tests (8)
#
# Every step is a process of its own with a time limit: what fails or hangs costs its own lines only, which
# then say so. gpu.csv grows line by line, so that it holds what was measured however this ends.
set -u
cd "$(dirname "$0")/.." || exit
PYTHON=${PYTHON:-python3} OUT=${OUT:-benchmarks} CORPUS=${CORPUS:-data/openi-sim-128px}
mkdir -p "$OUT" && rm -f "$OUT/gpu.log"
echo "name,value,unit" > "$OUT/gpu.csv"
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
# Bytecode is written and reused, whatever the environment says, as in the Makefile.
unset PYTHONDONTWRITEBYTECODE
END=$((SECONDS + 470)) FAILED=0

row() { echo "$1,$2,$3" >> "$OUT/gpu.csv"; }

# limited SECONDS COMMAND…: at most so long, and not beyond the end of all
limited() {
  local left=$((END - SECONDS)) limit=$1
  shift
  ((left < limit)) && limit=$left
  ((limit > 0)) || return 124
  timeout --kill-after=5 "$limit" "$@"
}

# ended NAME STATUS STARTED: a line on how long a step took, or why it has no more lines
ended() {
  local took=$((SECONDS - $3))
  case $2 in
    0) row "step $1" "$took" s ;;
    124 | 137) row "step $1" "out of time after $took s" "" ;;
    *) row "step $1" "failed with exit $2 after $took s: see gpu.log" "" ;;
  esac
  [ "$2" = 0 ] || FAILED=1
}

for step in ${STEPS:-what tests kernels search demo_steps paper_steps corpus}; do
  started=$SECONDS
  echo "== $step" | tee -a "$OUT/gpu.log"
  if [ "$step" = tests ]; then
    limited 200 "$PYTHON" -m pytest -q -m gpu -n "${WORKERS:-8}" --dist=load --tb=short \
      tests/test_*_on_devices.py tests/*/test_*_on_devices.py > "$OUT/gpu-tests.log" 2>&1
    status=$?
    grep -E '^(FAILED|ERROR)' "$OUT/gpu-tests.log" | cut -c1-300
    counts=$(tail -n 1 "$OUT/gpu-tests.log" | tr -d '=,')
    row tests "$(echo $counts)" ""
  else
    limit=60
    [ "$step" = what ] && limit=90  # the first one to import torch
    limited "$limit" "$PYTHON" benchmarks/gpu.py "$step" --corpus "$CORPUS" \
      2>> "$OUT/gpu.log" | tee -a "$OUT/gpu.csv"
    status=${PIPESTATUS[0]}
    [ "$status" = 0 ] || tail -n 15 "$OUT/gpu.log"
  fi
  ended "$step" "$status" "$started"
done

"$PYTHON" - "$OUT/gpu.csv" << 'END_OF_PYTHON'
import csv, sys
rows = list(csv.reader(open(sys.argv[1], encoding="utf-8")))
widths = [max(len(row[column]) for row in rows) for column in range(3)]
print()
for name, value, unit in rows:
    print(f"{name:<{widths[0]}}  {value:>{min(widths[1], 40)}}  {unit}")
END_OF_PYTHON
exit $FAILED
