"""Every example of the language reference gives what stands under it.

A block with a title is a file; YAML with a `version:` is a pipeline. A block of text without a title is what the last
pipeline above it, in the same section, gives:

    $ krea-pipe …     commands and what they print, errors and warnings first; `…` alone stands for any lines
    FILE:1:2: error:  what `validate` says, and nothing else
    cell  seed  …     a table of all cells, columns two spaces apart; `… 3 more` at its end are the rest

`exit=N` in a block's first line is the exit code of its last command. The block titled `images` names the images that
each example has beside it.
"""

import json
import re
import shlex
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from command_line import Project
from doc_blocks import as_expected, blocks, is_table, plain
from krea_server import picture

from krea_pipe.core import contract, problem_list
from krea_pipe.core.fields import FIELD_NAMES
from krea_pipe.matrix import matrix, out_paths
from krea_pipe.pipeline import nodes, references, repo_paths, source
from krea_pipe.pipeline.editing.picks import MAX_PICKS_NODES
from krea_pipe.pipeline.pricing import usd
from krea_pipe.pipeline.spec import generated, library, loading, problems, stages, tables
from krea_pipe.pipeline.template import MAX_RENDERED
from krea_pipe.pipeline.template.sandbox import ENVIRONMENT
from krea_pipe.planning import lockfile, plan_file

ROOT = Path(__file__).parent.parent
INDEX = ROOT / "docs/language.md"
PAGES = [INDEX, *sorted((ROOT / "docs/language").glob("*.md"))]
SCHEMA = json.loads((ROOT / "schemas/pipeline.schema.json").read_text(encoding="utf-8"))
MAX_LINES = 600
BARE = {"KREA_API_KEY": None, "KREA_API_BASE": None}
MESSAGE = re.compile(r"[\w./-]+:\d+:\d+: (error|warning): ")
FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


@dataclass(frozen=True)
class Example:
    """What a pipeline gives, the files that it needs, and where that stands."""

    at: str
    files: dict[str, str]
    pipeline: str
    expected: str
    exit_code: int


def examples(page):
    """Every example of a page; a block that is not understood fails."""
    files, pipeline, waiting, section = {}, None, None, None
    for block in blocks(page):
        if block.section != section:
            assert waiting is None, f"{waiting}: nothing says what this pipeline gives"
            files, pipeline, section = {}, None, block.section
        title = block.attributes.get("title")
        if title == "images":
            continue
        if title is not None:
            assert block.language in ("yaml", "csv", "text"), f"{block.at}: {block.language} is not understood"
            files[title] = block.text
            if block.is_pipeline:
                assert waiting is None or "use:" in block.text, f"{waiting}: nothing says what this pipeline gives"
                pipeline, waiting = title, block.at
            continue
        assert block.language == "text", f"{block.at}: a block of {block.language} without a title is not understood"
        assert pipeline is not None, f"{block.at}: no pipeline stands above it"
        yield Example(block.at, dict(files), pipeline, block.text, int(block.attributes.get("exit", 0)))
        waiting = None
    assert waiting is None, f"{waiting}: nothing says what this pipeline gives"


EXAMPLES = [example for page in PAGES for example in examples(page)]


@cache
def images():
    """The images of every example, by their paths."""
    names = [
        name for block in blocks(INDEX) if block.attributes.get("title") == "images" for name in block.text.split()
    ]
    return {name: picture(FORMATS[Path(name).suffix], name, (640, 512)) for name in names}


def what_it_gives(project, example):
    """The text that stands under an example, as the program says it."""
    for name, data in (images() | example.files).items():
        project.write(name, data)
    first = example.expected.partition("\n")[0]
    if first.startswith("$ "):
        return session(project, example)
    if MESSAGE.match(first):
        done = project.run("validate", example.pipeline, env=BARE)
        assert done.code == (2 if ": error: " in first else 0), done.text
        return done.err.replace(f"{project.path}/", "")
    assert is_table(first), f"{example.at}: this is not understood: {first}"
    return table(project, example.pipeline, re.split(r"  +", first))


def session(project, example):
    """Commands, each with what it prints."""
    printed, code = "", 0
    for line in re.findall(r"^\$ (.*)$", example.expected, re.MULTILINE):
        words = shlex.split(line)
        env = dict(BARE)
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            env[name] = value
        assert words[0] == "krea-pipe", f"{example.at}: {line} is not understood"
        assert words[1] != "run" or "--local" in words, f"{example.at}: an example sends nothing"
        done = project.run(*words[1:], env=env)
        printed, code = f"{printed}$ {line}\n{done.err}{done.out}", done.code
    assert code == example.exit_code, printed
    return printed


def table(project, file, columns):
    """All cells of a pipeline, in the columns that an example shows."""
    done = project.run("expand", file, "--json", env=BARE)
    assert done.code == 0, done.text
    cells = done.json["cells"]
    names = {f"sha256:{sha256(data).hexdigest()}": Path(name).name for name, data in images().items()}
    names |= {f"key:{cell['key']}": f"the image of {cell['id']}" for cell in cells}
    priced = project.run("plan", file, "--json", env=BARE).json["cells"]
    prices = {cell["id"]: usd(Decimal(cell["price_usd"])) for cell in priced}
    rows = [[column(name, cell, names, prices) for name in columns] for cell in cells]
    return "\n".join("  ".join(row) for row in [columns, *rows]) + "\n"


def column(name, cell, names, prices):
    request = cell["request"]
    match name:
        case "cell":
            return cell["id"]
        case "out" | "stage":
            return cell[name]
        case "key":
            return cell["key"][:12]
        case "price":
            return prices[cell["id"]]
        case "image":
            return weighted([request["image"]] if "image" in request else [], names)
        case "references":
            return weighted(request.get("image_style_references", []), names)
        case "moodboards" | "styles":
            return weighted(request.get(name, []), names)
    assert name in FIELD_NAMES or name == "take", f"no column `{name}`"
    return str(request.get(name, "none"))


def weighted(items, names):
    said = [one.get("image", one.get("id")) for one in items]
    return (
        ", ".join(f"{names.get(name, name)} {one['strength']}" for name, one in zip(said, items, strict=True)) or "none"
    )


@pytest.fixture
def catalogue(tmp_path, krea):
    """A project in a folder whose name messages can show."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    return Project(folder, krea)


@pytest.mark.parametrize("example", [pytest.param(example, id=example.at) for example in EXAMPLES])
def test_an_example_gives_what_stands_under_it(catalogue, example):
    found = what_it_gives(catalogue, example)
    assert as_expected(plain(example.expected), plain(found)), f"{example.at} gives\n{found}"


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_every_file_beside_a_pipeline_is_named_in_the_text(page):
    files = [block for block in blocks(page) if "title" in block.attributes and not block.is_pipeline]
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    names = {block.attributes["title"] for block in files} - {"images"}
    assert {name for name in names if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_a_page_can_be_read_at_one_sitting(page):
    assert len(page.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_every_link_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors(file), f"{page.name} links to {target}"


def anchors(file):
    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_first_page_leads_to_every_other():
    text = INDEX.read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"(language/{page.name}" not in text] == []


LIMITS = {
    "a pipeline file, or a picks file": (
        source.MAX_PIPELINE_BYTES // 2**20,
        nodes.MAX_YAML_DEPTH,
        nodes.MAX_NODES,
        MAX_PICKS_NODES,
        nodes.COLLECTION,
    ),
    "errors, or warnings, listed for a file": (problem_list.MAX_PROBLEMS,),
    "definitions under one key": (loading.MAX_DEFINITIONS,),
    "stages": (stages.MAX_STAGES,),
    "matrices of all stages": (stages.MAX_MATRICES,),
    "axes of one matrix, or of `with`": (stages.MAX_AXES,),
    "rules of one `exclude` or `patch`": (stages.MAX_RULES, stages.MAX_FITTED),
    "evaluations of the `if:` of rules": (matrix.CHECKS_PER_CELL,),
    "characters in expressions of different templates": (problems.MAX_TEMPLATE_WORK, 100, 50),
    "cells of a pipeline": (matrix.MAX_CELLS,),
    "values of one axis": (generated.MAX_RANGE_VALUES,),
    "values of the axes of all matrices": (library.MAX_AXIS_VALUES,),
    "variables times cells": (matrix.MAX_COPIED,),
    "a lock file": (lockfile.MAX_LOCK_BYTES // 2**20, lockfile.MAX_LOCK_LINES),
    "a plan file": (plan_file.MAX_PLAN_FILE_BYTES // 2**20,),
    "takes of one stage": (SCHEMA["$defs"]["takes"]["maximum"],),
    "a CSV file or a word list": (
        generated.MAX_TABLE_BYTES // 2**20,
        generated.MAX_RANGE_VALUES,
        tables.MAX_TABLE_CELLS,
        tables.MAX_LINES,
    ),
    "a glob pattern": (repo_paths.MAX_PATH_PARTS, repo_paths.MAX_PART_CHARACTERS),
    "folder entries that all glob patterns visit": (repo_paths.MAX_FOLDER_ENTRIES,),
    "images that `references:` names": (references.MAX_IMAGES,),
    "an uploaded image": (references.MAX_REFERENCE_BYTES // 2**20,),
    "style references in one request": (contract.MAX_STYLE_REFERENCES,),
    "moodboards in one request": (contract.MAX_MOODBOARDS,),
    "output of one template": (MAX_RENDERED,),
    "a name": (64,),
    "a path below the output folder": (out_paths.MAX_PATH, out_paths.MAX_PATH_PART),
}


def test_the_limits_are_those_of_the_program():
    section = INDEX.read_text(encoding="utf-8").partition("## Limits")[2]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)[1:]
    numbers = {what: tuple(int(one.replace(",", "")) for one in re.findall(r"\d[\d,]*", row)) for what, row in rows}
    assert numbers == LIMITS
    assert "{1,64}" in SCHEMA["$defs"]["name"]["pattern"]


def said():
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


@pytest.mark.parametrize("kind", ["", *SCHEMA["$defs"]])
def test_every_key_of_the_schema_is_explained(kind):
    definition = SCHEMA["$defs"][kind] if kind else SCHEMA
    keys = {*definition.get("properties", ())}
    assert {key for key in keys if not re.search(rf"`{key}[`:]|`\{{{key}:", said())} == set()


def test_every_filter_and_test_of_templates_is_named():
    named = {*ENVIRONMENT.filters, *ENVIRONMENT.tests} - {"eq", "ne", "lt", "le", "gt", "ge"}
    assert {name for name in named if f"`{name}" not in said()} == set()
