"""Completes an SBOM by what the package carries of others, and compares it with the environment that this is run in.

python .ci/sbom.py SBOM NAME VERSION
"""

import json
import re
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).parents[1]
CARRIED = {
    "krea_pipe/report/templates/vendor/README.md": r"^\| `[^`]+` \| `([^`]+)` ([\d.]+)[^|]*\| ([\w.-]+)",
    "krea_pipe/report/sheet/fonts/README.md": r"the npm package `([^`]+)` ([\d.]+)()",
}
FONT_LICENCE = "OFL-1.1"


def carried(root: Path) -> list[dict[str, Any]]:
    """The packages of others whose files stand in this one, as the pages beside those files say."""
    found = {}
    for page, form in CARRIED.items():
        rows = re.findall(form, (root / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert rows, f"{page} names no package in the form that is looked for"
        for name, version, licence in rows:
            purl = f"pkg:npm/{quote(name, safe='/')}@{version}"
            licences = [{"license": {"id": licence or FONT_LICENCE, "acknowledgement": "declared"}}]
            same = {"type": "library", "name": name, "version": version, "licenses": licences}
            found[purl] = {"bom-ref": purl, "purl": purl, **same}
    return list(found.values())


def completed(data: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    """An SBOM with components that its root component holds."""
    top = data["metadata"]["component"]["bom-ref"]
    for one in others:
        data["components"].append(one)
        data["dependencies"].append({"ref": one["bom-ref"]})
    root = next(one for one in data["dependencies"] if one["ref"] == top)
    root["dependsOn"] = sorted([*root.get("dependsOn", []), *(one["bom-ref"] for one in others)])
    return data


def problems(data: dict[str, Any], name: str, version: str, others: list[dict[str, Any]]) -> list[str]:
    """What is wrong with an SBOM: nothing when it names the package, each installed one, and what needs it."""
    top = data["metadata"]["component"]
    named = {one["bom-ref"]: (plain(one["name"]), one.get("version")) for one in (top, *data["components"])}
    installed = {(plain(one.name), one.version) for one in distributions()}
    installed |= {(plain(one["name"]), one["version"]) for one in others}
    listed = set(named.values())
    wrong = [f"{one[0]} {one[1]} is installed and not named" for one in sorted(installed - listed)]
    wrong += [f"{one[0]} {one[1]} is named and not installed" for one in sorted(listed - installed, key=str)]
    if named[top["bom-ref"]] != (plain(name), version):
        wrong.append(f"it is of {named[top['bom-ref']]}, not of {name} {version}")
    needs = {one["ref"]: one.get("dependsOn", []) for one in data["dependencies"]}
    reached, waiting = set[str](), [top["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        reached.add(ref)
        waiting += set(needs.get(ref, [])) - reached
    return wrong + [f"nothing says what needs {ref}" for ref in sorted(named.keys() - reached)]


def plain(name: str) -> str:
    """A package's name in the one form of all its spellings."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(file: Path, name: str, version: str) -> int:
    """Write the completed SBOM, and say what is wrong with it."""
    others = carried(ROOT)
    data = completed(json.loads(file.read_text(encoding="utf-8")), others)
    file.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    found = problems(data, name, version, others)
    sys.stderr.write("".join(f"{file.name}: {one}\n" for one in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
