"""CONTRIBUTING.md names only what exists: modules, functions, paths, rooms, and what the package depends on."""

import ast
import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

from packaging.requirements import Requirement
from test_architecture import of_each, trees

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
CODE = re.findall(r"`([^`\n]+)`", PROSE)
ROOMS = sorted(path.parent.name for path in (ROOT / "krea_pipe").glob("*/__init__.py"))
NAMES = sorted({one for one in CODE if re.fullmatch(rf"(?:{'|'.join(ROOMS)})(?:\.\w+)+", one)})
SUFFIXES = (".json", ".md", ".html")
"""Files that are named like a room: `report.json`."""
ELSEWHERE = (
    ".venv/",
    ".krea-pipe/",
    "out/",
    "refs/",
    "blobs/",
    "claims/",
    "jobs/",
    "results/",
    "runs/",
    "dist/",
    "/",
    "krea-pipe/",
)
"""Where paths begin that are of a user, of a run or of an API."""
VALUE = re.compile(r"[…{}<>*\"=:]|NAME|^(lamp|image)/")
"""What is not a path: a value of the walks, or a name that the reader chooses."""


def section(title):
    """What stands below a heading, up to the next one of its level."""
    return re.search(rf"^## {title}$(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)[1]


def exists(name):
    """Whether a dotted name is a module, or what a module has."""
    parts = ["krea_pipe", *name.split(".")]
    while ".".join(parts) not in trees():
        parts.pop()
    found = import_module(".".join(parts))
    for part in name.split(".")[len(parts) - 1 :]:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


@of_each(lambda: [name for name in NAMES if not name.endswith(SUFFIXES)])
def test_each_dotted_name_is_a_module_or_stands_in_one(name):
    assert exists(name)


def test_names_that_do_not_exist_are_noticed():
    assert all(map(exists, ("store", "store.blobs", "store.blobs.Blobs", "store.blobs.Blobs.put")))
    assert not any(map(exists, ("store.blob", "store.blobs.Blob", "store.blobs.Blobs.keep", "report.view.put")))


def paths():
    """Each path of the repository that is named as code, or is the target of a link."""
    words = [word.strip("();,").partition("::")[0] for code in CODE for word in code.split()]
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PROSE)
    inside = [word for word in words if "/" in word or word.endswith((".md", ".py", ".toml"))]
    return {
        word
        for word in (*inside, *links)
        if not word.startswith(ELSEWHERE) and not VALUE.search(word) and word != "report.md"
    }


def test_each_path_exists():
    found = paths()
    assert len(found) > 80
    assert sorted(path for path in found if not (ROOT / path).exists()) == []


def test_each_test_that_a_command_names_exists():
    named = set(re.findall(r"\btests/[\w/.]+", TEXT))
    assert sorted(path for path in named if not (ROOT / path.rstrip(".")).exists()) == []


def test_the_rooms_of_the_picture_are_the_packages():
    picture = re.search(r"^```\n(.*?)^```", section("The rooms"), re.MULTILINE | re.DOTALL)[1]
    assert sorted(re.findall(r"^(\w+)  ", picture, re.MULTILINE)) == ROOMS


def test_the_map_of_tests_has_every_folder_and_file_of_tests():
    known = {f"tests/{path.name}" for path in (ROOT / "tests").iterdir() if any(path.glob("test_*.py"))}
    known |= {f"tests/{path.name}" for path in (ROOT / "tests").glob("test_*.py")}
    assert sorted(one for one in known if f"`{one}`" not in section("Tests")) == []


def dependency_rows():
    """Each package of the table of dependencies, with the names that it is imported by."""
    for package, imports in re.findall(
        r"^\| ([\w.-]+)[^|]* \| ([^|]*) \| [^|]* \|$", section("Dependencies").partition("\n### ")[0], re.MULTILINE
    ):
        if package not in ("Package", "---"):
            yield package, set(re.findall(r"`([\w.]+)`", imports))


def imported():
    """What the package imports of others; namespace packages by their full name."""
    for tree in trees().values():
        for node in ast.walk(tree):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module]
            yield from (".".join(one.split(".")[: 2 if one.startswith("ruamel.") else 1]) for one in modules)


def test_the_table_of_dependencies_agrees_with_the_imports():
    others = {name for name in imported() if name not in sys.stdlib_module_names and name != "krea_pipe"}
    assert set().union(*(names for _, names in dependency_rows())) == others


def test_the_table_of_dependencies_agrees_with_what_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *extras["notify"], *extras["ray"], *extras["remote"], *extras["watch"]]
    declared += extras["diffusers"]
    assert [package for package, _ in dependency_rows()] == [Requirement(one).name for one in declared]
