#!/usr/bin/env bash
# Checks all pipelines; each problem is annotated on its line.
set -euo pipefail

pipelines=()
while IFS= read -r file; do
  if [ -n "$file" ]; then pipelines+=("$file"); fi
done <<<"$FILES"

exec "$BIN/krea-pipe" validate -- "${pipelines[@]}"
