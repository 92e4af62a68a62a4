#!/usr/bin/env bash
# Makes what is missing, one pipeline after the other. The step fails with the first exit code that means a failure.
set -euo pipefail

log="$RUNNER_TEMP/krea-pipe/run.log"
runs="$RUNNER_TEMP/krea-pipe/runs"
read -r -d '' -a words <<<"$ARGS" || true
if [ -n "$MAX_COST" ]; then words+=(--max-cost "$MAX_COST"); fi

# A job that is cancelled signals this shell alone. krea-pipe then cancels what waits at Krea and brings in the rest.
child=
trap 'if [ -n "$child" ]; then kill -TERM "$child" || true; fi' INT TERM

: >"$runs"
failed=0
while IFS= read -r file; do
  if [ -z "$file" ]; then continue; fi
  echo "::group::krea-pipe run $file"
  code=0
  "$BIN/krea-pipe" run ${words[@]+"${words[@]}"} -- "$file" </dev/null >"$log" &
  child=$!
  wait "$child" || code=$?
  while kill -0 "$child" 2>/dev/null; do # a signal has ended the wait, not the run
    code=0
    wait "$child" || code=$?
  done
  child=
  cat "$log"
  echo "::endgroup::"
  # The last line `report  PATH` names the page of the run, in whose folder report.json is.
  page=$(sed -n 's/^report  //p' "$log" | tail -n 1)
  printf '%s\t%s\t%s\n' "$code" "${page%/*}" "$file" >>"$runs"
  case $code in
    0) ;;
    6) echo "::notice title=krea-pipe::$file waits for picks: choose in the report, and commit the picks file" ;;
    *) if [ "$failed" = 0 ]; then failed=$code; fi ;;
  esac
  # Refused by Krea, or interrupted: the next run would end in the same way.
  if [ "$code" = 4 ] || [ "$code" = 130 ]; then break; fi
done <<<"$FILES"

echo "exit-code=$failed" >>"$GITHUB_OUTPUT"
exit "$failed"
