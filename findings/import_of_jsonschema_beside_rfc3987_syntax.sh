#!/usr/bin/env bash
# One would guess: jsonschema's optional format checkers cost nothing until a format is checked.
# What happens: where rfc3987-syntax is installed (the extra `format-nongpl` and check-jsonschema bring it), every
#   `import jsonschema` builds a Lark grammar of IRIs, also in programs that check no format: several times the CPU time
#   of the same import without it, in each process anew.
# Versions: jsonschema 4.26.0, rfc3987-syntax 1.1.0, lark 1.3.1, CPython 3.11. Seen on 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

for name in plain beside; do
  python3 -m venv "$name"
  "$name/bin/pip" install --quiet --disable-pip-version-check jsonschema==4.26.0 2> /dev/null
done
beside/bin/pip install --quiet --disable-pip-version-check rfc3987-syntax==1.1.0 lark==1.3.1 2> /dev/null

cat > measure.py << 'PYTHON'
import statistics, subprocess, sys

PROGRAM = "import time; began = time.process_time(); import jsonschema; print(time.process_time() - began)"


def seconds(environment):
    command = [f"{environment}/bin/python", "-c", PROGRAM]
    return statistics.median(float(subprocess.check_output(command)) for _ in range(7))


seconds("plain"), seconds("beside")  # bytecode is written
without, beside = seconds("plain"), seconds("beside")
print(f"import jsonschema: {without:.3f} s of CPU alone, {beside:.3f} s beside rfc3987-syntax = {beside / without:.1f} x")
modules = "import jsonschema, sys; print(sorted(m for m in ('lark', 'rfc3987_syntax') if m in sys.modules))"
print("loaded by the import alone:", subprocess.check_output(["beside/bin/python", "-c", modules], text=True).strip())
sys.exit(0 if beside > 3 * without else 1)
PYTHON
plain/bin/python --version
beside/bin/pip list --disable-pip-version-check 2> /dev/null | grep -iE '^(jsonschema|lark|rfc3987-syntax) '
plain/bin/python measure.py || { echo "this has changed"; exit 1; }
