"""The locked versions: that they are what pyproject.toml allows, whole, and what everything is installed from."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
DATA = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = DATA["project"]["optional-dependencies"]
RUN, BUILD = DATA["project"]["dependencies"], DATA["build-system"]["requires"]
UNLOCKED = "diffusers"
"""The extra that CI does without, because torch is large: `.ci/engines` installs it."""
ASKED = {
    "run.txt": RUN,
    "build.txt": BUILD,
    "dev.txt": [*RUN, *BUILD, *EXTRAS["dev"], *EXTRAS["notify"], *EXTRAS["remote"]],
    "ci.txt": [*RUN, *BUILD, *(one for name, extra in EXTRAS.items() if name != UNLOCKED for one in extra)],
    "uv.txt": ["uv"],
}
ENVIRONMENTS = [
    {
        "python_version": version,
        "python_full_version": f"{version}.9",
        "sys_platform": system,
        "platform_machine": machine,
    }
    for version in ("3.11", "3.12", "3.13", "3.14")
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64"))
]


def entries(name):
    """The requirements of a lock, each with its hashes."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            written, *hashes = line.split(" --hash=")
            yield Requirement(written), [one.strip() for one in hashes]


def locked(name):
    """The versions of a lock by package; one has several where they depend on the Python."""
    found = {}
    for one, _ in entries(name):
        ((operator, version),) = [(each.operator, each.version) for each in one.specifier]
        assert operator == "==", f"{name}: {one}"
        found.setdefault(str(canonicalize_name(one.name)), []).append((version, one.marker))
    return found


@pytest.mark.parametrize("name", ASKED)
def test_every_line_of_a_lock_has_hashes_and_no_address(name):
    found = list(entries(name))
    assert found
    for one, hashes in found:
        assert hashes, f"{name}: {one} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), f"{name}: {one}"
        assert one.url is None


@pytest.mark.parametrize("name", ASKED)
def test_a_lock_has_what_is_declared_within_its_bounds_on_every_system(name):
    versions = locked(name)
    for one in map(Requirement, ASKED[name]):
        mine = versions[str(canonicalize_name(one.name))]
        for environment in ENVIRONMENTS:
            taken = [version for version, marker in mine if marker is None or marker.evaluate(environment)]
            assert len(taken) == 1, f"{name} has {taken} of {one.name} for {environment}"
            assert one.specifier.contains(taken[0]), f"{name} has {one.name} {taken[0]}, and pyproject.toml wants {one}"


def test_locks_share_their_versions():
    whole = locked("ci.txt")
    for name in ("run.txt", "dev.txt", "build.txt"):
        for package, versions in locked(name).items():
            assert {version for version, _ in versions} <= {version for version, _ in whole[package]}, (
                f"{name}: {package}"
            )
    assert locked("run.txt").keys() | locked("build.txt").keys() <= locked("dev.txt").keys() <= whole.keys()


def test_what_krea_pipe_needs_has_an_upper_bound():
    unbounded = [
        one for one in map(Requirement, [*RUN, *BUILD]) if "<" not in {each.operator for each in one.specifier}
    ]
    assert unbounded == []


INSTALLERS = {
    "README.md": ("requirements/run.txt", "requirements/build.txt", "requirements/dev.txt"),
    "CONTRIBUTING.md": ("requirements/dev.txt",),
    ".ci/run": ("requirements/ci.txt", "requirements/uv.txt"),
    ".ci/package": ("requirements/run.txt",),
    "Dockerfile": ("requirements/run.txt", "requirements/build.txt"),
    ".github/action/install.sh": ("run.txt", "build.txt"),
    "requirements/refresh": ("requirements/uv.txt",),
}


@pytest.mark.parametrize("file", INSTALLERS)
def test_what_installs_takes_the_locks_with_hashes_and_resolves_nothing(file):
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    parts = [part for part in re.split(r"&&|[;\n]", text) if "`" not in part and "install=(" not in part]
    commands = [part for part in parts if re.search(r"\bpip\b.* (install|wheel) |\{install\[@\]\}", part)]
    own = [one for one in commands if "--no-deps" in one]
    from_locks = [one for one in commands if "--require-hashes" in one]
    assert [one for one in commands if one not in own and one not in from_locks] == []
    assert all("--no-build-isolation" in one or "--no-index" in one for one in own)
    assert all(any(lock in one for one in from_locks) for lock in INSTALLERS[file])


def test_the_sdist_and_the_container_have_the_locks():
    packed = DATA["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert "/requirements" in packed
    assert "!requirements" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
