#!/usr/bin/env bash
# Installs this version of krea-pipe with exactly the locked versions of its dependencies, separate from the packages of
# the job.
set -euo pipefail

venv="$RUNNER_TEMP/krea-pipe/venv"
"$PYTHON" -I -m venv "$venv"
locked="$GITHUB_ACTION_PATH/requirements"
install=("$venv/bin/pip" install --quiet --disable-pip-version-check)
"${install[@]}" --require-hashes --only-binary :all: -r "$locked/run.txt" -r "$locked/build.txt"
"${install[@]}" --no-deps --no-build-isolation --no-index "$GITHUB_ACTION_PATH"
"$venv/bin/krea-pipe" --version
echo "bin=$venv/bin" >>"$GITHUB_OUTPUT"

# Later steps of the job can call krea-pipe by name; their Python does not change.
mkdir -p "$RUNNER_TEMP/krea-pipe/bin"
ln -sf "$venv/bin/krea-pipe" "$RUNNER_TEMP/krea-pipe/bin/krea-pipe"
echo "$RUNNER_TEMP/krea-pipe/bin" >>"$GITHUB_PATH"
