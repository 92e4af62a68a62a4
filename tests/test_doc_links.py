"""Links between pages lead somewhere: to a file of the repository, and to a heading as GitHub names it."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)(?: \"[^\"]*\")?\)|<img[^>]+src=\"([^\"]+)\"")


def prose(page):
    """A page without its code, in which brackets mean something else."""
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def links(page):
    for match in LINK.finditer(prose(page)):
        target = match[1] or match[2]
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page):
    """The names of a page's headings at GitHub: lower case, no punctuation, a number for those that come again."""
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = {}
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w -]", "", words).replace(" ", "-")
        count = found.get(name, 0)
        found[name] = count + 1
        yield f"{name}-{count}" if count else name


def kept():
    """The files that git has or would take: a link to what is ignored leads nowhere in a clone."""
    if not (ROOT / ".git").exists():  # unpacked from a source distribution
        return set(ROOT.rglob("*"))
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    files = {ROOT / name for name in found.stdout.decode().splitlines()}
    return files | {folder for file in files for folder in file.parents}


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_every_link_of_a_page_leads_somewhere(page):
    files, wrong = kept(), []
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if file not in files or (anchor and anchor not in set(anchors(file))):
            wrong.append(target)
    assert wrong == []


def test_links_are_found_and_headings_are_named_as_github_does(tmp_path):
    page = tmp_path / "a.md"
    page.write_text(
        "# A `b`, and C\n## Same\n## Same\n[x](y.md#z) ![a [b]](p.png) `[no](no.md)`\n```\n# no\n[no](n)\n```\n"
    )
    assert list(anchors(page)) == ["a-b-and-c", "same", "same-1"]
    assert list(links(page)) == ["y.md#z", "p.png"]


def test_every_page_stands_in_the_contents_of_the_site():
    contents = set(re.findall(r'"([\w/.-]+\.md)"', (ROOT / "docs/zensical.toml").read_text(encoding="utf-8")))
    assert contents == {str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs")}
