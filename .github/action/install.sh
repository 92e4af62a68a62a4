#!/usr/bin/env bash
# Installs the krea-pipe of this action's own version, with the locked versions of what it needs and nothing else, away
# from the packages of the job.
set -euo pipefail

venv="$RUNNER_TEMP/krea-pipe/venv"
"$PYTHON" -I -m venv "$venv"
locked="$GITHUB_ACTION_PATH/requirements"
install=("$venv/bin/pip" install --quiet --disable-pip-version-check)
"${install[@]}" --require-hashes --only-binary :all: -r "$locked/run.txt" -r "$locked/build.txt"
"${install[@]}" --no-deps --no-build-isolation --no-index "$GITHUB_ACTION_PATH"
"$venv/bin/krea-pipe" --version
echo "bin=$venv/bin" >>"$GITHUB_OUTPUT"

# Later steps of the job may call krea-pipe by its name; their python stays as it is.
mkdir -p "$RUNNER_TEMP/krea-pipe/bin"
ln -sf "$venv/bin/krea-pipe" "$RUNNER_TEMP/krea-pipe/bin/krea-pipe"
echo "$RUNNER_TEMP/krea-pipe/bin" >>"$GITHUB_PATH"
