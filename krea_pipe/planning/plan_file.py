"""A plan in a file, so that what was looked at is what is carried out: the same cells, and nothing else is sent.

It holds no request, but the pipeline file and the options that it was planned with: a run makes the plan anew from
these and compares. So a plan file is worth what a command line is; it reads no file outside of the repository, and
changes no budget.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from krea_pipe.core.errors import InvalidInput, Place, Problem, UsageError
from krea_pipe.core.json_data import CONTROL_CHARACTERS, Json
from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell
from krea_pipe.pipeline.model import Budget
from krea_pipe.pipeline.pricing import exact, usd
from krea_pipe.planning.budget import Limits
from krea_pipe.planning.plan import DAMAGED, Hold, Plan, Step, Submit, in_order

SCHEMA = "krea-pipe/plan-file@1"
_SHOWN = 5
MAX_BYTES = 40 * 1024 * 1024
MAX_OBJECTS = 300_000
MAX_VALUES = 1_500_000


@dataclass(frozen=True, slots=True)
class Send:
    """A request that may be sent: one of its cells, its price in US dollars, and why it is sent."""

    cell: str
    price: Decimal
    reason: str


@dataclass(frozen=True, slots=True)
class Approval:
    """What a plan was made of, and what it may send.

    `file` is the pipeline file as it was named; `profiles`, `sets` and `var_files` stood over it. `cells` are those
    that are carried out, with their keys, and `everything` is the digest of all cells of the file.
    """

    file: Path
    base: str
    is_local: bool
    profiles: tuple[str, ...]
    sets: tuple[str, ...]
    var_files: tuple[Path, ...]
    max_cells: int
    everything: str
    cells: Mapping[str, Key] = field(default_factory=dict)
    sends: Mapping[Key, Send] = field(default_factory=dict)
    tool: str = ""

    @property
    def price(self) -> Decimal:
        """What it may cost in all, in US dollars."""
        return sum((one.price for one in self.sends.values()), Decimal(0))

    def to_text(self) -> str:
        """The text of a plan file."""
        data: dict[str, object] = {
            "schema": SCHEMA,
            "krea_pipe": self.tool,
            "pipeline": self.file.as_posix(),
            "target": "local" if self.is_local else self.base,
            "price_usd": exact(self.price),
            "profiles": list(self.profiles),
            "set": list(self.sets),
            "vars": [file.as_posix() for file in self.var_files],
            "max_cells": self.max_cells,
            "everything": self.everything,
            "cells": dict(self.cells),
            "sends": {
                key: {"cell": one.cell, "price_usd": exact(one.price), "reason": one.reason}
                for key, one in self.sends.items()
            },
        }
        return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def parts_of(plan: Plan, reach: int) -> tuple[dict[str, Key], dict[Key, Send]]:
    """The cells that a plan carries out, and the first `reach` requests that it sends; what comes after is left out.

    A held request is sent again by the run when Krea's list shows that nothing was ordered.
    """
    cells: dict[str, Key] = {}
    sends: dict[Key, Send] = {}
    for step in in_order(plan):
        if isinstance(step.action, Submit):
            if reach == 0:
                continue
            reach -= 1
        if may_send(step):
            sends[step.key] = Send(step.cells[0].id, step.price, step.reason)
        cells.update({cell.id: step.key for cell in step.cells})
    return cells, sends


def approved_limits(plan: Plan, budget: Budget, limits: Limits) -> Limits:
    """The limits of a run of a plan file: where nobody has set a cap, its price by now is one."""
    if limits.max_cost is not None or budget.usd is not None:
        return limits
    return replace(limits, max_cost=sum((step.price for step in plan.steps if may_send(step)), Decimal(0)))


def may_send(step: Step) -> bool:
    """Whether a run of a step may send its request."""
    return isinstance(step.action, Submit) or (isinstance(step.action, Hold) and step.action.can_be_settled)


def digest_of(found: Iterable[tuple[Cell, Key]]) -> str:
    """A digest of all cells of a pipeline: their ids, keys and paths, in whatever order."""
    lines = sorted(f"{cell.id}\t{key}\t{cell.out}\n" for cell, key in found)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def approved_cells(found: Sequence[tuple[Cell, Key]], approval: Approval) -> list[tuple[Cell, Key]]:
    """The cells of a plan file, as they are now.

    Raises:
        UsageError: the pipeline makes other cells or requests than it did.
    """
    if digest_of(found) != approval.everything:
        raise _changed(f"{approval.file} does not make the cells that were planned: {_difference(found, approval)}")
    return [one for one in found if one[0].id in approval.cells]


def check_approved(plan: Plan, approval: Approval) -> None:
    """Refuse a plan that sends what its file does not, or for more.

    Raises:
        UsageError: it does.
    """
    for step in plan.steps:
        if not may_send(step):
            continue
        planned, name = approval.sends.get(step.key), step.cells[0].id
        if planned is None:
            raise _changed(f"{name} would be sent now, which was not planned: {step.reason}")
        if step.price > planned.price:
            raise _changed(f"{name} costs {usd(step.price)} now, and was planned for {usd(planned.price)}")
        if step.reason == DAMAGED != planned.reason:
            raise _changed(f"{name} has been drawn since, and would be sent again: {step.reason}")


def is_plan_file(file: Path) -> bool:
    """Whether a file says of itself that it is a plan."""
    try:
        if not file.is_file():  # what a pipe holds can be read once
            return False
        with file.open("rb") as stream:
            return stream.read(1) == b"{" and f'"{SCHEMA.partition("@")[0]}@'.encode() in stream.read(MAX_BYTES)
    except (OSError, ValueError):
        return False


def read_approval(file: Path) -> Approval:
    """Read a plan file.

    Raises:
        InvalidInput: it cannot be read.
    """
    try:
        data = json.loads(_bytes_of(file))
        if data["schema"] != SCHEMA:
            hint = "make the plan anew: krea-pipe plan FILE --out PLANFILE"
            raise InvalidInput(Problem("bad_plan_file", f"{file} is of another version", Place(file, 1, 1), hint))
        return _approval(data)
    except OSError as error:
        raise InvalidInput(Problem("bad_plan_file", f"cannot read {file}: {error.strerror}")) from error
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        hint = "make the plan anew: krea-pipe plan FILE --out PLANFILE"
        at = Place(file, getattr(error, "lineno", 1), getattr(error, "colno", 1))
        raise InvalidInput(Problem("bad_plan_file", "this is no whole plan file", at, hint)) from error


def _bytes_of(file: Path) -> bytes:
    """What a plan file holds, unless it would be far more once it is read.

    Raises:
        ValueError: it would.
    """
    with file.open("rb") as stream:
        raw = stream.read(MAX_BYTES + 1)
    objects, values = raw.count(b"{") + raw.count(b"["), raw.count(b",")
    if len(raw) > MAX_BYTES or objects > MAX_OBJECTS or values > MAX_VALUES:
        raise ValueError("too large")
    return raw


def _approval(data: Mapping[str, Json]) -> Approval:
    target = _text(data["target"])
    return Approval(
        file=Path(_text(data["pipeline"])),
        base=target,
        is_local=target == "local",
        profiles=tuple(map(_text, _list(data["profiles"]))),
        sets=tuple(map(_text, _list(data["set"]))),
        var_files=tuple(Path(_text(one)) for one in _list(data["vars"])),
        max_cells=_count(data["max_cells"]),
        everything=_text(data["everything"]),
        cells={id_: Key(_text(key)) for id_, key in _mapping(data["cells"]).items()},
        sends={Key(key): _send(_mapping(one)) for key, one in _mapping(data["sends"]).items()},
        tool=_text(data["krea_pipe"]),
    )


def _send(data: Mapping[str, Json]) -> Send:
    return Send(_text(data["cell"]), _money(data["price_usd"]), _text(data["reason"]))


def _text(data: Json) -> str:
    if not isinstance(data, str):
        raise TypeError("not a text")
    if CONTROL_CHARACTERS.search(data):  # also halves of characters, which no file can hold
        raise ValueError("no text that can be written")
    return data


def _list(data: Json) -> list[Json]:
    if not isinstance(data, list):
        raise TypeError("not a list")
    return data


def _mapping(data: Json) -> dict[str, Json]:
    if not isinstance(data, dict):
        raise TypeError("not a mapping")
    return data


def _count(data: Json) -> int:
    if not isinstance(data, int) or isinstance(data, bool) or data < 0:
        raise TypeError("not a count")
    return data


def _money(data: Json) -> Decimal:
    if not re.fullmatch(r"\d{1,10}(\.\d{1,10})?", _text(data)):
        raise ValueError("not an amount")
    return Decimal(_text(data))


def _changed(message: str) -> UsageError:
    return UsageError(Problem("plan_changed", message, hint="look at it anew: krea-pipe plan FILE --out PLANFILE"))


def _difference(found: Sequence[tuple[Cell, Key]], approval: Approval) -> str:
    now = {cell.id: key for cell, key in found}
    kinds = {
        "gone": [id_ for id_ in approval.cells if id_ not in now],
        "changed": [id_ for id_, key in approval.cells.items() if id_ in now and now[id_] != key],
    }
    said = [
        f"{', '.join(ids[:_SHOWN])}{' …' if len(ids) > _SHOWN else ''} {word}" for word, ids in kinds.items() if ids
    ]
    return "; ".join(said) or "cells that were not planned, or the paths of images, changed"
