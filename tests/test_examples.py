"""What the README and `pipelines/` show is true of the program."""

import re
import tomllib
from pathlib import Path

import pytest
from krea_server import picture

from krea_pipe.app import flow
from krea_pipe.cli.lazy import COMMANDS
from krea_pipe.local import jobs

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
IMAGES = {"quickstart": 12, "creativity-ladder": 16, "reference-strength": 10, "campaign": 13, "skincare": 36 + 20 + 9}
HOUSE = {
    "banner": 2,
    "email": 2,
    "gift": 2,
    "hero": 3,
    "packshot": 3,
    "post": 6,
    "press": 2,
    "story": 4,
    "texture": 3,
    "winter": 3,
}
IMAGES |= {f"aurelle/{name}": count for name, count in HOUSE.items()}


def own(project):
    """A home of its own: the repository may have one, in which the examples are drawn already."""
    return {"KREA_PIPE_HOME": str(project.home)}


def test_every_example_is_tested():
    files = [*(ROOT / "pipelines").glob("*.yaml"), *(ROOT / "pipelines/aurelle").glob("*.yaml")]
    assert {file.relative_to(ROOT / "pipelines").with_suffix("").as_posix() for file in files} == set(IMAGES)


def plain_proof(brief):
    """A proof of one colour, which takes a tenth of the time to draw."""
    return picture(seed=repr(brief), size=brief.order.pixels, compress_level=1)


@pytest.mark.parametrize("name", IMAGES)
def test_an_example_runs_without_a_key(project, monkeypatch, name):
    if name != "quickstart":  # which has whatever a proof shows
        monkeypatch.setattr(jobs, "draw_proof", plain_proof)
    done = project.run(
        "run", ROOT / f"pipelines/{name}.yaml", "--local", "--json", env={"KREA_API_KEY": None, **own(project)}
    )
    assert (done.code, *done.counts) == (0, IMAGES[name], 0, 0)
    assert len(list(project.path.glob(f"proofs/{Path(name).name}/**/*.png"))) == IMAGES[name]


@pytest.mark.parametrize("name", IMAGES)
def test_an_example_stays_in_its_own_budget(project, name):
    file = ROOT / f"pipelines/{name}.yaml"
    plan = project.run("plan", file, "--json", env=own(project)).json
    assert float(plan["totals"]["new"]["usd"]) <= float(plan["cap_usd"])
    assert not flow.load_pipeline(file).warnings


def test_the_readme_pipeline_costs_what_the_readme_says(project):
    text = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)[1]
    assert len(text.splitlines()) <= 10
    sentence = re.search(r"says `(New: .*?)`", README)[1]
    assert sentence in project.run("plan", project.write("lamp.yaml", text)).out


def test_the_readme_names_every_command_and_exit_code(project):
    assert set(re.findall(r"^\| `(\w+)[ `]", README.partition("## Commands")[2], re.MULTILINE)) >= set(COMMANDS)
    listed = project.run("--help").out.partition("Exit codes:")[2]
    codes = re.findall(r"\b\d+\b", listed)
    assert codes == re.findall(r"\b\d+\b", README.partition("Exit codes:")[2].partition(".")[0])


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_names_every_option(project, command):
    row = re.search(rf"^\| `{command}[ `].*$", README, re.MULTILINE)[0]
    shared = re.search(r"^All commands take .*$", README, re.MULTILINE)[0]
    options = set(re.findall(r"^  (?:-[a-zA-Z], )?(--[a-z-]+)", project.run(command, "--help").out, re.MULTILINE))
    assert options - {"--help"} <= set(re.findall(r"--[a-z-]+", row + shared))


def test_what_the_readme_links_to_is_in_the_source_package():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = {name.strip("/") for name in data["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]}
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert {link.partition("/")[0] for link in links} <= packed
    assert all((ROOT / link).exists() for link in links)


def test_the_readme_commands_are_two():
    commands = re.findall(r"^\$ (python3 -m venv .*)$", README, re.MULTILINE)
    assert [command.rpartition(" && ")[2] for command in commands] == [
        ".venv/bin/krea-pipe run pipelines/quickstart.yaml --local",
        ".venv/bin/python -m pytest",
    ]
