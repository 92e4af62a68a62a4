"""Shards: parts of the cells of a pipeline, so that several jobs or machines share the work.

A request belongs to the shard that its key gives, so that editing other cells never moves it. What is generated from an
image of the same pipeline goes with it: the key of the request at the beginning of the chain counts.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.excerpts import shown
from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell

MAX_SHARDS = 10_000
INDEX, TOTAL = "KREA_PIPE_SHARD_INDEX", "KREA_PIPE_SHARDS"
"""Our own variables: the number of the shard, counted from 0, and how many shards there are."""

_WRITTEN = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
_AUTO = re.compile(r"auto(?:/([0-9]{1,9}))?")
_EXAMPLE = (
    "write --shard 2/8 for the second of eight shards, or --shard auto in a job that is numbered by CI or a cluster"
)
_NAMED = "specify the shard, as in --shard 3/8"
_GITLAB, _GITLAB_TOTAL = "CI_NODE_INDEX", "CI_NODE_TOTAL"
_SLURM, _SLURM_COUNT = "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"
_SLURM_MIN, _SLURM_STEP = "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"
_KUBERNETES = "JOB_COMPLETION_INDEX"


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `total` shards; `number` counts from 1."""

    number: int
    total: int

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


def number_of(root: Key, total: int) -> int:
    """The number of the shard, counted from 1, of a request and of everything generated from its image.

    Args:
        root: the key of the request at the beginning of the chain.
        total: how many shards there are.
    """
    return int(root[:16], 16) % total + 1


def shard_numbers(found: Sequence[tuple[Cell, Key]], total: int) -> dict[Key, int]:
    """The number of the shard of each request.

    Args:
        found: all cells of a pipeline that can be generated, with their keys.
        total: how many shards there are.

    Returns:
        The numbers by key, counted from 1.
    """
    above = {key: cell.request.upstream for cell, key in found}
    roots: dict[Key, Key] = {}
    for key in above:
        chain = [key]
        while chain[-1] not in roots and above.get(chain[-1]):
            chain.append(above[chain[-1]][0])  # everything that a request is generated from has the same beginning
        root = roots.get(chain[-1], chain[-1])
        roots.update(dict.fromkeys(chain, root))
    return {key: number_of(roots[key], total) for key in above}


def of_shard(
    chosen: Iterable[tuple[Cell, Key]], found: Sequence[tuple[Cell, Key]], shard: Shard
) -> list[tuple[Cell, Key]]:
    """Those of some cells that a shard has.

    Args:
        chosen: the cells that were asked for, with those whose images they need.
        found: all cells of the pipeline that can be generated.
        shard: which shard.
    """
    numbers = shard_numbers(found, shard.total)
    return [one for one in chosen if numbers[one[1]] == shard.number]


def parse_shard(text: str, environment: Mapping[str, str]) -> Shard:
    """Read `2/8`, or `auto` and `auto/8`, which take the number from what CI systems and clusters set.

    Args:
        text: what the user wrote.
        environment: where GitLab, SLURM and Kubernetes say which of their jobs this is.

    Raises:
        UsageError: it names no shard, or the environment does not say which one this is.
    """
    if written := _WRITTEN.fullmatch(text):
        return _checked(int(written[1]), int(written[2]), f"--shard {text}")
    if automatic := _AUTO.fullmatch(text):
        return _numbered(int(automatic[1]) if automatic[1] else None, environment)
    raise _bad(f"{shown(text)} is not a shard", _EXAMPLE)


def _numbered(given: int | None, environment: Mapping[str, str]) -> Shard:
    """The shard of this job; `given` is how many there are, if the user said so."""
    named = {name: value.strip() for name, value in environment.items() if value.strip()}
    if INDEX in named:
        return _from_zero(INDEX, given, named)
    found = [name for name in (_GITLAB, _SLURM, _KUBERNETES) if name in named]
    match found:
        case [name] if name == _GITLAB:
            return _checked(_number(name, named), _total(given, named, _GITLAB_TOTAL), f"{name}={named[name]}")
        case [name] if name == _SLURM:
            return _of_array(given, named)
        case [name]:
            return _from_zero(name, given, named)
        case []:
            if given in (None, 1) and named.get(_GITLAB_TOTAL) == "1":  # a job without `parallel`, which has no index
                return Shard(1, 1)
            looked = f"{INDEX}, {_GITLAB}, {_SLURM} and {_KUBERNETES} are not set"
            raise _bad(f"--shard auto cannot tell which shard this is: {looked}", _EXAMPLE)
    raise _bad(f"--shard auto cannot tell which shard this is: {' and '.join(found)} are set", _NAMED)


def _from_zero(name: str, given: int | None, named: Mapping[str, str]) -> Shard:
    total = _total(given, named, TOTAL)
    return _checked(_number(name, named) + 1, total, f"{name}={named[name]}, which counts from 0,")


def _of_array(given: int | None, named: Mapping[str, str]) -> Shard:
    """A task of a job array of SLURM, whose numbers may begin anywhere and have a step."""
    task, total = _number(_SLURM, named), _total(given, named, _SLURM_COUNT)
    least, step = _number(_SLURM_MIN, named), _number(_SLURM_STEP, {_SLURM_STEP: "1", **named}) or 1
    number, rest = divmod(task - least, step)
    if total == 1:
        message = f"{_SLURM}={task} is the only task of its array, so its shard would contain all cells"
        raise _bad(message, f"{_NAMED}, or remove --shard")
    if rest or not 0 <= number < total:
        message = f"the numbers of the array have gaps: {_SLURM}={task} is one of {total} tasks, starting at {least}"
        raise _bad(message, f"number the tasks without gaps, as in --array=1-8, or {_NAMED}")
    return _checked(number + 1, total, f"{_SLURM}={task}")


def _total(given: int | None, named: Mapping[str, str], name: str) -> int:
    """The number of shards according to the user or a variable; both must agree."""
    found = _number(name, named) if name in named else None
    if found is not None and given is not None and found != given:
        raise _bad(f"--shard auto/{given} contradicts {name}={found}", f"write --shard auto, or {_NAMED}")
    total = given if found is None else found
    if total is None:
        raise _bad("--shard auto cannot tell how many shards there are", f"set {name}, or write --shard auto/8")
    return total


def _number(name: str, named: Mapping[str, str]) -> int:
    if not re.fullmatch("[0-9]{1,9}", named.get(name, "")):
        found = f"{name}={shown(named[name])} is not a number" if name in named else f"{name} is not set"
        raise _bad(f"--shard auto cannot tell which shard this is: {found}", _NAMED)
    return int(named[name])


def _checked(number: int, total: int, words: str) -> Shard:
    if not 1 <= total <= MAX_SHARDS:
        raise _bad(f"{words} is not a shard: there can be 1 to {MAX_SHARDS:,} shards", _EXAMPLE)
    if not 1 <= number <= total:
        last = "the only shard is 1/1" if total == 1 else f"the shards are 1/{total} to {total}/{total}"
        raise _bad(f"{words} is not a shard: {last}", _EXAMPLE)
    return Shard(number, total)


def _bad(message: str, hint: str) -> UsageError:
    return UsageError(Problem("bad_shard", message, hint=hint))
