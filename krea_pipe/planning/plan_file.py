"""A plan in a file, so that exactly the reviewed plan is run: the same cells, and no other requests.

It holds no request, but the pipeline file and the options that it was planned with: a run makes the plan again from
these and compares. So a plan file is worth what a command line is; it reads no file outside of the repository, and
changes no budget.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from krea_pipe.core.errors import InvalidInput, Place, Problem, UsageError, whole_file
from krea_pipe.core.merge_conflicts import conflict_in
from krea_pipe.core.request import Key
from krea_pipe.core.unreadable import unreadable_file
from krea_pipe.matrix.cell import Cell
from krea_pipe.pipeline.model import Budget
from krea_pipe.pipeline.pricing import usd
from krea_pipe.planning.budget import Limits
from krea_pipe.planning.plan import DAMAGED, Hold, Plan, Step, Submit, in_order, is_read_again
from krea_pipe.planning.records import JsonObject, object_of, text

_SCHEMA = "krea-pipe/plan-file@1"
_HEAD = b'"krea-pipe/plan-file@'
_SHOWN = 5
LOCAL_PLAN, ENGINE_PLAN = "local", "engine"
"""The targets of plans that are not for an API at an address."""
MAX_PLAN_FILE_BYTES = 40 * 1024 * 1024
_MAX_OBJECTS = 300_000
_MAX_VALUES = 1_500_000


@dataclass(frozen=True, slots=True)
class Send:
    """A request that may be sent: one of its cells, its price, and why it is sent."""

    cell: str
    price_usd: Decimal
    reason: str


@dataclass(frozen=True, slots=True)
class PlanFile:
    """The inputs of a plan, and the requests that it may send; the file has the fields in this order.

    `pipeline` is the pipeline file as it was named, `target` the API or `local`; `profiles`, `set` and `vars` stood
    over the file. `cells` are those that are carried out, with their keys, and `everything` is the digest of all cells
    of the file. `sends` are the requests that are sent, for `price_usd` in all. `fetches` are those whose images are
    read from Krea for nothing, and sent when Krea has them no longer: `at_most_usd` is the price with all of these.
    """

    schema: str = field(default=_SCHEMA, init=False)
    krea_pipe: str
    pipeline: Path
    target: str
    price_usd: Decimal = field(init=False)
    at_most_usd: Decimal = field(init=False)
    profiles: tuple[str, ...]
    set: tuple[str, ...]
    vars: tuple[Path, ...]
    max_cells: int
    everything: str
    cells: Mapping[str, Key]
    sends: Mapping[Key, Send]
    fetches: Mapping[Key, Send] = field(default_factory=dict)

    def __post_init__(self) -> None:
        price = sum((one.price_usd for one in self.sends.values()), Decimal(0))
        object.__setattr__(self, "price_usd", price)
        more = sum((one.price_usd for one in self.fetches.values()), Decimal(0))
        object.__setattr__(self, "at_most_usd", price + more)

    @property
    def is_local(self) -> bool:
        """Whether it is for the local Krea."""
        return self.target == LOCAL_PLAN

    @property
    def is_for_engine(self) -> bool:
        """Whether it is for the engine that the pipeline names; its keys say which one that was."""
        return self.target == ENGINE_PLAN


def parts_of(plan: Plan, reach: int) -> tuple[dict[str, Key], dict[Key, Send]]:
    """The cells of a plan, and the first requests that it sends.

    A held request is sent again by the run when Krea's list shows that nothing was ordered.

    Args:
        plan: What a run would do.
        reach: How many new images the run would come to; what comes after them is left out.

    Returns:
        The key of each cell by its id, and each request that may be sent by its key.
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


def fetches_of(plan: Plan) -> dict[Key, Send]:
    """The requests of a plan whose images Krea alone can give, and which are paid when it has them no longer.

    Args:
        plan: What a run would do.

    Returns:
        Each of them by its key.
    """
    steps = [step for step in plan.steps if is_read_again(step.action)]
    return {step.key: Send(step.cells[0].id, step.price, step.reason) for step in steps}


def limits_for(plan: Plan, budget: Budget, limits: Limits) -> Limits:
    """The limits of a run of a plan file: without a cap, its current price is the cap.

    Args:
        plan: What the run would do.
        budget: What the pipeline file allows.
        limits: What the command line allows.

    Returns:
        The limits of the command line, with a cap in any case.
    """
    if limits.max_cost is not None or budget.usd is not None:
        return limits
    paid = (step.price for step in plan.steps if may_send(step) or is_read_again(step.action))
    return replace(limits, max_cost=sum(paid, Decimal(0)))


def may_send(step: Step) -> bool:
    """Whether a run of a step may send its request."""
    return isinstance(step.action, Submit) or (isinstance(step.action, Hold) and step.action.can_be_settled)


def digest_of(found: Iterable[tuple[Cell, Key]]) -> str:
    """A digest of all cells of a pipeline: their ids, keys and paths, in whatever order.

    Args:
        found: Each cell with the key of its request.

    Returns:
        SHA-256 in hexadecimal digits.
    """
    lines = sorted(f"{cell.id}\t{key}\t{cell.out}\n" for cell, key in found)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def planned_cells(found: Sequence[tuple[Cell, Key]], approved: PlanFile) -> list[tuple[Cell, Key]]:
    """The current cells of a plan file.

    Args:
        found: Each cell that the pipeline makes, with the key of its request.
        approved: The plan file.

    Returns:
        Those of them that the plan file carries out.

    Raises:
        UsageError: The pipeline makes other cells or requests than it did.
    """
    if digest_of(found) != approved.everything:
        raise _changed(f"{approved.pipeline} does not produce the planned cells: {_difference(found, approved)}")
    return [one for one in found if one[0].id in approved.cells]


def check_planned(plan: Plan, approved: PlanFile) -> None:
    """Refuse a plan that sends what its file does not, or for more.

    Args:
        plan: What a run would do now.
        approved: The plan file.

    Raises:
        UsageError: It does.
    """
    for step in plan.steps:
        if not may_send(step):
            continue
        fetched, name = approved.fetches.get(step.key), step.cells[0].id
        planned = approved.sends.get(step.key) or fetched
        if planned is None:
            raise _changed(f"{name} would now be sent, which was not planned: {step.reason}")
        if step.price > planned.price_usd:
            raise _changed(f"{name} now costs {usd(step.price)}, but was planned for {usd(planned.price_usd)}")
        if step.reason == DAMAGED != planned.reason and fetched is None:
            raise _changed(f"{name} has been generated since, and would be sent again: {step.reason}")


def is_plan_file(file: Path) -> bool:
    """Whether a file says of itself that it is a plan.

    Args:
        file: The path of any file, or of none.

    Returns:
        False also for what cannot be read.
    """
    try:
        if not file.is_file():  # what a pipe holds can be read once
            return False
        with file.open("rb") as stream:
            return stream.read(1) == b"{" and _HEAD in stream.read(MAX_PLAN_FILE_BYTES)
    except (OSError, ValueError):
        return False


def read_plan_file(file: Path) -> PlanFile:
    """Read a plan file.

    Args:
        file: Its path.

    Returns:
        What was planned.

    Raises:
        InvalidInput: It cannot be read.
    """
    hint = "create a new plan: krea-pipe plan FILE --out PLANFILE"
    try:
        raw = _bytes_of(file)
        if conflict := conflict_in(file, raw.decode("utf-8", "replace"), hint):
            raise InvalidInput(conflict)
        row = object_of(json.loads(raw))
        if row.data["schema"] != _SCHEMA:
            raise InvalidInput(Problem("bad_plan_file", "this plan file is of another version", whole_file(file), hint))
        return _decode(row)
    except OSError as error:
        raise InvalidInput(unreadable_file(file, error, "bad_plan_file")) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        at = Place(file, getattr(error, "lineno", 1), getattr(error, "colno", 1))
        raise InvalidInput(Problem("bad_plan_file", "this is not a complete plan file", at, hint)) from error


def _bytes_of(file: Path) -> bytes:
    """The content of a plan file, unless it would be far larger after parsing.

    Raises:
        ValueError: it would.
    """
    with file.open("rb") as stream:
        raw = stream.read(MAX_PLAN_FILE_BYTES + 1)
    objects, values = raw.count(b"{") + raw.count(b"["), raw.count(b",")
    if len(raw) > MAX_PLAN_FILE_BYTES or objects > _MAX_OBJECTS or values > _MAX_VALUES:
        raise ValueError("too large")
    return raw


def _decode(row: JsonObject) -> PlanFile:
    max_cells = row.number("max_cells")
    if max_cells is None or max_cells < 0:
        raise ValueError("`max_cells` is not a count")
    return PlanFile(
        krea_pipe=row.text("krea_pipe"),
        pipeline=Path(row.text("pipeline")),
        target=row.text("target"),
        profiles=row.texts("profiles"),
        set=row.texts("set"),
        vars=tuple(map(Path, row.texts("vars"))),
        max_cells=max_cells,
        everything=row.text("everything"),
        cells={id_: Key(text(key, id_)) for id_, key in row.members("cells").items()},
        sends=_sends_in(row, "sends"),
        fetches=_sends_in(row, "fetches") if "fetches" in row.data else {},
    )


def _sends_in(row: JsonObject, name: str) -> dict[Key, Send]:
    found = {Key(key): object_of(one) for key, one in row.members(name).items()}
    return {key: Send(one.text("cell"), one.price("price_usd"), one.text("reason")) for key, one in found.items()}


def _changed(message: str) -> UsageError:
    return UsageError(Problem("plan_changed", message, hint="review it again: krea-pipe plan FILE --out PLANFILE"))


def _difference(found: Sequence[tuple[Cell, Key]], approved: PlanFile) -> str:
    now = {cell.id: key for cell, key in found}
    kinds = {
        "gone": [id_ for id_ in approved.cells if id_ not in now],
        "changed": [id_ for id_, key in approved.cells.items() if id_ in now and now[id_] != key],
    }
    said = [
        f"{', '.join(ids[:_SHOWN])}{' …' if len(ids) > _SHOWN else ''} {word}" for word, ids in kinds.items() if ids
    ]
    return "; ".join(said) or "cells that were not planned, or the paths of images, changed"
