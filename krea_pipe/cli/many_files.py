"""Commands on several pipelines: each file in turn, a file with an error among them, and one exit code."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from krea_pipe.app.pipeline_files import is_one_file, pipeline_files
from krea_pipe.cli.messages import print_json, print_problems, problem_json
from krea_pipe.cli.options import FILE
from krea_pipe.core.errors import KreaPipeError, Problem, RefusedByKrea, UsageError
from krea_pipe.core.exit_codes import ExitCode, worst

files_argument = click.argument("files", nargs=-1, required=True, metavar="FILE...", type=FILE)


@dataclass(frozen=True, slots=True)
class FileResult:
    """The result of a command for one file: its exit code, its JSON document, and how to print it for people.

    `advice` are the next commands, which several files have in common.
    """

    code: int
    document: Callable[[], dict[str, object]]
    show: Callable[[], None]
    advice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileEnd:
    """A file with its result, or with the problems that prevented one."""

    file: Path
    code: int
    result: FileResult | None = None
    problems: tuple[Problem, ...] = ()


def work_on(
    command: str,
    arguments: Sequence[Path],
    work: Callable[[Path], FileResult],
    *,
    as_json: bool,
    with_names: bool = True,
) -> Sequence[FileEnd]:
    """Work on one file as if there were no others, or on several, of which none stops the others.

    Args:
        command: the name of the command.
        arguments: files, folders and patterns.
        work: what to do with a file.
        as_json: print one JSON document.
        with_names: print the name of each of several files above its result.

    Returns:
        The end of each file; their exit code is `exit_code_of_all`.

    Raises:
        KreaPipeError: the only file has an error. RefusedByKrea: Krea refuses the account.
    """
    if is_one_file(arguments):
        result = work(arguments[0])
        if as_json:
            print_json(result.document())
        else:
            result.show()
            _print_advice([result])
        return [FileEnd(arguments[0], result.code, result)]
    ends = ends_of(arguments, work)
    if as_json:
        print_json(files_json(command, ends))
        return ends
    for number, end in enumerate(ends):
        click.echo("\n" if number else "", nl=False)
        if with_names:
            click.echo(click.style(str(end.file), bold=True))
        if end.result is not None:
            end.result.show()
        print_problems(end.problems)
    _print_advice([end.result for end in ends if end.result is not None])
    return ends


def ends_of(arguments: Sequence[Path], work: Callable[[Path], FileResult]) -> list[FileEnd]:
    """The end of each of several files, without printing anything."""
    return [_end(file, work) for file in pipeline_files(arguments)]


def refuse_one_folder(arguments: Sequence[Path], out: Path | None) -> None:
    """Refuse one output folder for several pipelines, each of which has its own.

    Raises:
        UsageError: there is one.
    """
    if out is not None and not is_one_file(arguments):
        hint = "leave it out: each pipeline has its own folder, out/NAME"
        raise UsageError(Problem("bad_option", "--out is for one file", hint=hint))


def exit_code_of_all(ends: Sequence[FileEnd]) -> ExitCode:
    """The exit code of several files, which is the worst one."""
    return worst(end.code for end in ends)


def files_json(command: str, ends: Sequence[FileEnd], more: Mapping[str, object] | None = None) -> dict[str, object]:
    """The document of a command on several files: that of each, or its problems."""
    files = [file_json(end.file, end.code, end.result and end.result.document(), end.problems) for end in ends]
    return joint_json(command, exit_code_of_all(ends), files, more)


def file_json(file: Path, code: int, document: object, problems: Iterable[Problem]) -> dict[str, object]:
    """One file in the document of several: the document of its command, or its problems."""
    return {
        "file": str(file),
        "exit_code": code,
        "result": document,
        "problems": [problem_json(one) for one in problems],
    }


def joint_json(
    command: str, code: int, files: Sequence[dict[str, object]], more: Mapping[str, object] | None = None
) -> dict[str, object]:
    """The document of a command on several files, whose `files` are made by `file_json`."""
    return {"schema": "krea-pipe/files@1", "command": command, "exit_code": code, **(more or {}), "files": files}


def _print_advice(results: Sequence[FileResult]) -> None:
    """Print the next commands; those of several files are about all of them."""
    said = dict.fromkeys(words for result in results for words in result.advice)
    if len(results) > 1:
        said = dict.fromkeys(words.partition(". ")[2] or words for words in said)
        click.echo("\n" if said else "", nl=False)
    for words in said:
        click.echo(words)


def _end(file: Path, work: Callable[[Path], FileResult]) -> FileEnd:
    try:
        result = work(file)
    except RefusedByKrea:
        raise
    except KreaPipeError as error:
        return FileEnd(file, error.exit_code, problems=error.problems)
    return FileEnd(file, result.code, result)
