"""Plans each pipeline, compared with the base of the pull request, for the comment, the summary and the outputs."""

import json
import os
import subprocess
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from workflow import folder, given, kept_files, krea_pipe, output, plain, run_step, say, summarise

from krea_pipe.core.checkout import find_top, has_commit
from krea_pipe.core.git import GitFailed, fetch
from krea_pipe.report.markdown import code, fenced

CHANGES = ("new", "changed", "moved", "gone")


@dataclass(frozen=True, slots=True)
class Failed(Exception):
    """A command ended with an exit code other than 0, and has printed the reason."""

    code: int


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan of one file: the cost of a run, and whether the pull request changes anything."""

    file: str
    markdown: Path
    requests: int
    usd: Decimal
    changes: bool


def main() -> int:
    """Plan each file; write the outputs `to-render` and `price`, the summary, and the input of comment.py."""
    plans_folder = folder() / "plans"
    plans_folder.mkdir(exist_ok=True)
    base = _base()
    planning = _compared if base else _alone
    try:
        plans = [planning(file, plans_folder / f"{number}.md", base) for number, file in enumerate(kept_files())]
    except Failed as error:
        return error.code
    for one in plans:
        summarise(one.markdown.read_text(encoding="utf-8"))
    noted = [{"markdown": str(one.markdown), "changes": one.changes} for one in plans if base]
    (plans_folder / "index.json").write_text(json.dumps(noted), encoding="utf-8")
    output("to-render", sum(one.requests for one in plans))
    output("price", plain(sum((one.usd for one in plans), Decimal(0))))
    return 0


def _compared(file: str, markdown: Path, base: str) -> Planned:
    """How merging the pull request changes the images."""
    against = ("plan", "--against", base)
    markdown.write_text(_pipe(*against, "--format", "markdown", "--", file), encoding="utf-8")
    compared = json.loads(_pipe(*against, "--json", "--", file))
    totals = compared["totals"]
    changes = compared["base"]["problem"] is not None or any(totals[kind] for kind in CHANGES)
    return Planned(file, markdown, totals["unpaid"]["requests"], Decimal(totals["unpaid"]["usd"]), changes)


def _alone(file: str, markdown: Path, _: str) -> Planned:
    """What a run would do now."""
    text = _pipe("plan", "--", file)
    markdown.write_text(f"### {code(file)}\n\n{fenced(text)}", encoding="utf-8")
    new = json.loads(_pipe("plan", "--json", "--", file))["totals"]["new"]
    return Planned(file, markdown, new["requests"], Decimal(new["usd"]), changes=False)


def _base() -> str:
    """The base commit of the pull request; "" if there is no base, or it cannot be fetched."""
    commit, here = given("BASE_SHA"), Path.cwd()
    if not commit:
        return ""
    top = find_top(Path(given("GITHUB_WORKSPACE") or here), here)
    if top is None:
        say(
            "warning",
            "there is no checkout, so nothing is compared; is actions/checkout missing before this step?",
        )
        return ""
    # A checkout has only one commit (`fetch-depth: 1`), so fetch the base, without the history in between.
    if has_commit(top, os.environ, commit):
        return commit
    try:
        fetch(top, os.environ, commit)
    except GitFailed as error:
        why = "the base commit cannot be fetched, so nothing is compared; set `fetch-depth: 0` in actions/checkout"
        say("warning", f"{why}\n{error}")
        return ""
    return commit


def _pipe(*words: str) -> str:
    """The output of krea-pipe."""
    done = subprocess.run([krea_pipe(), *words], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise Failed(done.returncode)
    return done.stdout.decode(errors="replace")


if __name__ == "__main__":
    run_step(main)
