#!/usr/bin/env bash
# Installs the krea-pipe of this action's own version, away from the packages of the job.
set -euo pipefail

venv="$RUNNER_TEMP/krea-pipe/venv"
"$PYTHON" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "$GITHUB_ACTION_PATH"
"$venv/bin/krea-pipe" --version
echo "bin=$venv/bin" >>"$GITHUB_OUTPUT"

# Later steps of the job may call krea-pipe by its name; their python stays as it is.
mkdir -p "$RUNNER_TEMP/krea-pipe/bin"
ln -sf "$venv/bin/krea-pipe" "$RUNNER_TEMP/krea-pipe/bin/krea-pipe"
echo "$RUNNER_TEMP/krea-pipe/bin" >>"$GITHUB_PATH"
