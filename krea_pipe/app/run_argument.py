"""Which run, or which pipeline, a word on the command line means.

A word is the path or the name of a pipeline file, or the id, the beginning of the id or the folder of a run.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from krea_pipe.app.pipeline_files import SUFFIXES
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.near_names import closest
from krea_pipe.report.folder import PLANNED, RECORD, find_run, runs_folder
from krea_pipe.report.run_list import ListedRun, RunList, list_runs
from krea_pipe.store.home import open_home
from krea_pipe.store.plain import is_plain

_MOST_NAMED = 10
_DAY = re.compile(r"\d{8}(-.*)?")
"""How the ids of runs begin."""


@dataclass(frozen=True, slots=True)
class NamedPipeline:
    """A pipeline file, the home folder of its runs, and these runs, newest first."""

    file: Path
    home: Path
    runs: Sequence[ListedRun]

    def latest(self, *, unfinished: bool = False) -> ListedRun:
        """Its latest run; with `unfinished`, one without a report counts too.

        Raises:
            UsageError: there is none.
        """
        for run in self.runs:
            if unfinished or run.state == "ended":
                return run
        hint = f"run it first: krea-pipe run {self.file}"
        raise UsageError(Problem("no_such_run", f"{self.file} has no finished run in {self.home}", hint=hint))


@dataclass(frozen=True, slots=True)
class RunPlace:
    """The folder of a run, and the home folder that is used with it."""

    home: Path
    folder: Path


def resolve_run(word: str | None, environment: Mapping[str, str], *, unfinished: bool = False) -> RunPlace:
    """The run that a word means: of a pipeline its latest, and without a word the latest of all.

    Args:
        word: what was written; None for nothing.
        environment: where the home folder may be named.
        unfinished: whether a run without a report counts too.

    Returns:
        The run.

    Raises:
        UsageError: there is no such run, or the word may mean several. StateError: the home folder is not to be
            trusted.
    """
    pipeline = None if word is None else find_pipeline(word, environment)
    if pipeline is None:
        home = open_home(environment)
        return RunPlace(home, find_run(home, word, unfinished=unfinished))
    return RunPlace(pipeline.home, pipeline.latest(unfinished=unfinished).folder)


def find_pipeline(word: str, environment: Mapping[str, str]) -> NamedPipeline | None:
    """The pipeline that a word means.

    Args:
        word: what was written: the path of a pipeline file, or the name of a pipeline that was run.
        environment: where the home folder may be named.

    Returns:
        The pipeline; None if the word means a run.

    Raises:
        UsageError: there is neither, or several pipelines have the name.
    """
    path = Path(word)
    if path.suffix.lower() in SUFFIXES and not path.is_dir():
        return _of_file(path, environment)
    home = open_home(environment)
    if _may_be_run(word, path, home):
        return None
    known = list_runs(home)
    found = known.named(word)
    if found:
        file = _only_file(word, found)
        return NamedPipeline(file, home, known.of_file(file))
    if any(run.id.startswith(word) for run in known.runs):
        return None
    raise _unknown(word, known, home)


def _may_be_run(word: str, path: Path, home: Path) -> bool:
    """Whether a word is the folder of a run, a file in it, or begins as ids do."""
    if not word or "/" in word or _DAY.fullmatch(word) or (runs_folder(home) / word).is_dir():
        return True
    return any(is_plain(path / name) for name in (RECORD, PLANNED))


def _of_file(path: Path, environment: Mapping[str, str]) -> NamedPipeline:
    home = open_home(environment, path)
    known = list_runs(home)
    runs = known.of_file(path)
    if not runs and not path.exists():
        files = dict.fromkeys(run.file.as_posix() for run in known.runs)
        raise UsageError(Problem("no_such_file", f"there is no file {path}", hint=_near(path.as_posix(), list(files))))
    return NamedPipeline(path, home, runs)


def _only_file(name: str, runs: Sequence[ListedRun]) -> Path:
    """The file of the pipelines with a name; a file that is gone counts only if all are.

    Raises:
        UsageError: there are several.
    """
    files = list({run.file.resolve(): run.file for run in runs}.values())
    there = [file for file in files if file.is_file()] or files
    if len(there) == 1:
        return there[0]
    named = ", ".join(file.as_posix() for file in there[:_MOST_NAMED])
    message = f"{len(there)} pipelines are called {name}: {named}"
    raise UsageError(Problem("ambiguous_name", message, hint=f"specify the file, as in {there[0]}"))


def _unknown(word: str, known: RunList, home: Path) -> UsageError:
    hint = _near(word, known.names) if known.runs else "run a pipeline first: krea-pipe run FILE --local"
    return UsageError(Problem("no_such_run", f"no run and no pipeline in {home} is called {word}", hint=hint))


def _near(word: str, names: Sequence[str]) -> str:
    near = closest(word, names)
    if near:
        return f"did you mean {near}?"
    named = ", ".join(names[:_MOST_NAMED])
    return f"pipelines with runs: {named}" if named else "`krea-pipe runs` lists the runs"
