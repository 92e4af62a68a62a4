"""Which run, or which pipeline, a word on the command line means.

A word is the path or the name of a pipeline file, or the id, the beginning of the id or the folder of a run.
"""

import os
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

LATEST_RUN = "latest"
"""Stands for the latest run of a pipeline."""
_MOST_NAMED = 10
_LATEST = 3
"""Runs that a hint names."""
_DAY = re.compile(r"\d{8}(-.*)?")
"""How the ids of runs begin."""


@dataclass(frozen=True, slots=True)
class NamedPipeline:
    """A pipeline file, the home folder of its runs, and these runs, newest first."""

    file: Path
    home: Path
    runs: Sequence[ListedRun]

    def latest(self, *, unfinished: bool = False) -> ListedRun:
        """Its latest run.

        Args:
            unfinished: whether a run without a report counts too.

        Returns:
            The run.

        Raises:
            UsageError: it has no such run.
        """
        for run in self.runs:
            if unfinished or run.state == "ended":
                return run
        hint = f"run it first: krea-pipe run {self.file}"
        raise UsageError(Problem("no_such_run", f"{self.file} has no finished run in {self.home}", hint=hint))

    def latest_shards(self) -> list[ListedRun]:
        """The latest run of each shard, of as many shards as the latest of them is one of.

        Returns:
            The runs, newest first.

        Raises:
            UsageError: no run is of a shard.
        """
        shards = [(run, run.report.shard) for run in self.runs if run.state == "ended" and run.report.shard]
        if not shards:
            hint = f"`krea-pipe runs {self.file}` lists its runs"
            raise UsageError(Problem("no_such_run", f"{self.file} has no run of a shard in {self.home}", hint=hint))
        total = shards[0][1].partition("/")[2]
        latest: dict[str, ListedRun] = {}
        for run, shard in shards:
            if shard.partition("/")[2] == total:
                latest.setdefault(shard, run)
        return list(latest.values())


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
    path = Path(os.path.expanduser(word))  # noqa: PTH111 (which fails where there is no such user)
    if path.suffix.lower() in SUFFIXES and not os.path.isdir(path):  # noqa: PTH112 (no name is too long for it)
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
    if not word or "/" in word or _DAY.fullmatch(word) or os.path.isdir(runs_folder(home) / word):  # noqa: PTH112 (no name is too long for it)
        return True
    return any(is_plain(path / name) for name in (RECORD, PLANNED))


def _of_file(path: Path, environment: Mapping[str, str]) -> NamedPipeline:
    home = open_home(environment, path)
    known = list_runs(home)
    runs = known.of_file(path)
    if not runs and not os.path.exists(path):  # noqa: PTH110 (the same)
        hint = _near_file(path, list(dict.fromkeys(run.file for run in known.runs)))
        raise UsageError(Problem("no_such_file", f"there is no file {path}", hint=hint))
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
    hint = "run a pipeline first: krea-pipe run FILE --local"
    if known.runs:
        near = closest(word, known.names)
        latest = ", ".join(run.id for run in reversed(known.runs[:_LATEST]))
        hint = f"did you mean {near}?" if near else f"{_listed(known.names)}; latest runs: {latest}"
    return UsageError(Problem("no_such_run", f"no run and no pipeline in {home} is called {word}", hint=hint))


def _near_file(path: Path, files: Sequence[Path]) -> str | None:
    """The file with runs that was probably meant: by its whole path, or by its name alone."""
    paths = [file.as_posix() for file in files]
    near = closest(path.as_posix(), paths)
    if near is None and (name := closest(path.name, [file.name for file in files])) is not None:
        near = next(file.as_posix() for file in files if file.name == name)
    return f"did you mean {near}?" if near else _listed(paths) if paths else None


def _listed(names: Sequence[str]) -> str:
    more = ", …" if len(names) > _MOST_NAMED else ""
    return f"pipelines with runs: {', '.join(names[:_MOST_NAMED])}{more}"


def run_of(word: str | None, run: str, environment: Mapping[str, str], *, unfinished: bool = False) -> RunPlace:
    """A single run of a pipeline.

    Args:
        word: the path or the name of the pipeline; None for any.
        run: `latest`, or the id, the beginning of the id or the folder of a run.
        environment: where the home folder may be named.
        unfinished: whether a run without a report counts too.

    Returns:
        The run.

    Raises:
        UsageError: there is no such run of the pipeline.
    """
    pipeline = None if word is None else find_pipeline(word, environment)
    if word is not None and pipeline is None:
        raise UsageError(Problem("usage", f"{word} is a run; --run needs a pipeline file before it", hint="remove one"))
    if pipeline is None:
        home = open_home(environment)
        return RunPlace(home, find_run(home, None if run == LATEST_RUN else run, unfinished=unfinished))
    if run == LATEST_RUN:
        return RunPlace(pipeline.home, pipeline.latest(unfinished=unfinished).folder)
    folder = find_run(pipeline.home, run, unfinished=unfinished)
    if not any(one.folder.samefile(folder) for one in pipeline.runs):
        hint = f"`krea-pipe runs {pipeline.file}` lists its runs"
        raise UsageError(Problem("no_such_run", f"{folder.name} is not a run of {pipeline.file}", hint=hint))
    return RunPlace(pipeline.home, folder)


def previous_run(place: RunPlace) -> RunPlace:
    """The run before a run, of the same pipeline file and the same target.

    Args:
        place: a run in its home folder.

    Returns:
        The latest such run that has a report and began before it.

    Raises:
        UsageError: it has no such run.
    """
    runs = list_runs(place.home).runs
    names = [run.id for run in runs]
    number = names.index(place.folder.name) if place.folder.name in names else len(names) - 1
    for run in runs[number + 1 :]:
        given = runs[number]
        is_same = (run.file.resolve(), run.report.target) == (given.file.resolve(), given.report.target)
        if is_same and run.state == "ended":
            return RunPlace(place.home, run.folder)
    hint = "name two runs; `krea-pipe runs` lists them"
    message = f"no earlier run of the same pipeline and target is before {place.folder.name}"
    raise UsageError(Problem("no_such_run", message, hint=hint))
