"""Adds the third-party files of the package to an SBOM, and compares the SBOM with the current environment.

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
    """The third-party packages whose files are part of this package, according to the README files beside them."""
    found = {}
    for page, form in CARRIED.items():
        rows = re.findall(form, (root / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert rows, f"{page} names no package in the expected form"
        for name, version, licence in rows:
            purl = f"pkg:npm/{quote(name, safe='/')}@{version}"
            licences = [{"license": {"id": licence or FONT_LICENCE, "acknowledgement": "declared"}}]
            same = {"type": "library", "name": name, "version": version, "licenses": licences}
            found[purl] = {"bom-ref": purl, "purl": purl, **same}
    return list(found.values())


def completed(data: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    """The SBOM with further components of its root component."""
    top = data["metadata"]["component"]["bom-ref"]
    for one in others:
        data["components"].append(one)
        data["dependencies"].append({"ref": one["bom-ref"]})
    root = next(one for one in data["dependencies"] if one["ref"] == top)
    root["dependsOn"] = sorted([*root.get("dependsOn", []), *(one["bom-ref"] for one in others)])
    return data


def problems(data: dict[str, Any], name: str, version: str, others: list[dict[str, Any]]) -> list[str]:
    """The errors of an SBOM. It must name the package, each installed package, and what depends on it."""
    top = data["metadata"]["component"]
    named = {one["bom-ref"]: (plain(one["name"]), one.get("version")) for one in (top, *data["components"])}
    installed = {(plain(one.name), one.version) for one in distributions()}
    installed |= {(plain(one["name"]), one["version"]) for one in others}
    listed = set(named.values())
    wrong = [f"{one[0]} {one[1]} is installed but not listed" for one in sorted(installed - listed)]
    wrong += [f"{one[0]} {one[1]} is listed but not installed" for one in sorted(listed - installed, key=str)]
    if named[top["bom-ref"]] != (plain(name), version):
        wrong.append(f"it describes {named[top['bom-ref']]}, not of {name} {version}")
    needs = {one["ref"]: one.get("dependsOn", []) for one in data["dependencies"]}
    reached, waiting = set[str](), [top["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        reached.add(ref)
        waiting += set(needs.get(ref, [])) - reached
    return wrong + [f"no listed package depends on {ref}" for ref in sorted(named.keys() - reached)]


def plain(name: str) -> str:
    """The normalised form of a package name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(file: Path, name: str, version: str) -> int:
    """Write the completed SBOM, and report its errors."""
    others = carried(ROOT)
    data = completed(json.loads(file.read_text(encoding="utf-8")), others)
    file.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    found = problems(data, name, version, others)
    sys.stderr.write("".join(f"{file.name}: {one}\n" for one in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
