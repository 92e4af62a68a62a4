"""What was paid: the charges of the journals of home folders and of the shared store, each counted once, in groups."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from krea_pipe.app.shared_store import in_parallel, shared_store
from krea_pipe.app.workspace import Workspace, open_workspace
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.store.charges import Charge, ChargeReader, SourceCharges, merge_charges, read_charges
from krea_pipe.store.home import check_home
from krea_pipe.store.home_place import other_homes
from krea_pipe.store.remote.remote import ADDRESS_NAME, Remote
from krea_pipe.store.replay import Replay
from krea_pipe.store.space import open_space

Group: TypeAlias = Literal["month", "pipeline", "stage", "variant", "person", "home"]
SPEND_GROUPS: tuple[Group, ...] = get_args(Group)
UNKNOWN_NAME = "unknown"
"""What stands for a name that a journal does not have."""


@dataclass(frozen=True, slots=True)
class SpendQuery:
    """What to add up: by which groups, and from which day to which (UTC, both included; None is no limit)."""

    by: tuple[Group, ...] = ("month",)
    since: str | None = None
    until: str | None = None


@dataclass(slots=True)
class SpendSum:
    """Amounts in US dollars and numbers of jobs; of `paid_usd`, `trainings_usd` is for trainings.

    The price of a training is the limit that was agreed on, because Krea does not publish one.
    """

    paid: int = 0
    paid_usd: Decimal = Decimal(0)
    uncertain: int = 0
    uncertain_usd: Decimal = Decimal(0)
    in_flight: int = 0
    in_flight_usd: Decimal = Decimal(0)
    not_billed: int = 0
    trainings_usd: Decimal = Decimal(0)

    def add(self, charge: Charge) -> None:
        """Add a charge.

        Args:
            charge: the charge of one job or POST.
        """
        match charge.state:
            case "paid":
                self.paid, self.paid_usd = self.paid + 1, self.paid_usd + charge.usd
                self.trainings_usd += charge.usd if charge.is_training else 0
            case "uncertain":
                self.uncertain, self.uncertain_usd = self.uncertain + 1, self.uncertain_usd + charge.usd
            case "in_flight":
                self.in_flight, self.in_flight_usd = self.in_flight + 1, self.in_flight_usd + charge.usd
            case "not_billed":
                self.not_billed += 1


@dataclass(frozen=True, slots=True)
class Spend:
    """What was paid to the API at `base`, in groups and in total.

    `homes` are the home folders whose journals were read, `store` the address of the shared store, if one is set.
    """

    base: str
    homes: tuple[str, ...]
    store: str | None
    query: SpendQuery
    rows: Mapping[tuple[str, ...], SpendSum]
    total: SpendSum


def add_up_spend(
    query: SpendQuery,
    folders: Sequence[Path],
    environment: Mapping[str, str],
    warn: Callable[[Problem], None],
    *,
    with_store: bool = True,
) -> Spend:
    """Add up what was paid, according to the journals of home folders and to the shared store.

    Args:
        query: the groups and the days.
        folders: further home folders, besides that of the working folder and those that earlier versions used there.
        environment: names the API, the home folder and the shared store.
        warn: receives warnings about records that were left out.
        with_store: read the shared store, if the environment names one.

    Returns:
        The amounts.

    Raises:
        UsageError: a folder is missing, or the shared store cannot be used.
        StateError: a journal or the shared store cannot be read.
    """
    workspace = open_workspace(environment)
    homes = _homes(workspace, folders, environment)
    sources = [_of_home(home, workspace) for home in homes]
    names, address = [str(home) for home in homes], None
    if with_store and environment.get(ADDRESS_NAME, "").strip():
        with shared_store(environment, workspace.target, warn) as remote:
            sources.append(_of_store(remote, warn))
            address = remote.bucket.address
            names.append(address)
    rows, total = dict[tuple[str, ...], SpendSum](), SpendSum()
    for index, charge in merge_charges(sources):
        if (query.since or "") <= charge.at[:10] <= (query.until or "9999"):
            rows.setdefault(_names(charge, names[index], query.by), SpendSum()).add(charge)
            total.add(charge)
    return Spend(workspace.target.base, tuple(map(str, homes)), address, query, dict(sorted(rows.items())), total)


def _homes(workspace: Workspace, folders: Sequence[Path], environment: Mapping[str, str]) -> list[Path]:
    """Every home folder once, that of the working folder first."""
    for folder in folders:
        if not folder.is_dir():
            hint = "name the .krea-pipe folder itself"
            raise UsageError(Problem("no_such_home", f"{folder} is not a home folder", hint=hint))
    others = [*other_homes(environment, Path.cwd() / "pipeline.yaml"), *folders]
    found = {os.path.realpath(workspace.home): workspace.home}
    for folder in others:
        found.setdefault(os.path.realpath(folder), check_home(folder, environment))
    return list(found.values())


def _of_home(home: Path, workspace: Workspace) -> SourceCharges:
    space = open_space(home, workspace.target.space)
    return read_charges(space.journal.follow(Replay()), space.presence.alive())


def _of_store(remote: Remote, warn: Callable[[Problem], None]) -> SourceCharges:
    """The charges of all homes that share a store: claims in their order, then what has a result."""
    claims, reader = remote.claims("", ""), ChargeReader()
    for lines, reason in in_parallel(claims.history, sorted(claims.keys())):
        for line in lines:
            reader.take(line)
        if reason:
            warn(Problem("bad_claim", f"some claims are left out of the sum: {reason}"))
    keys = sorted(remote.results.keys())
    for key, result in zip(keys, in_parallel(remote.results.result, keys), strict=True):
        if result is not None:
            reader.note_paid(key, result.job_id, result.cost_usd, result.finished_at)
    return reader.charges(frozenset())


def _names(charge: Charge, home: str, by: Sequence[Group]) -> tuple[str, ...]:
    pipeline, _, rest = charge.cell.partition("/")
    found: dict[Group, str] = {
        "month": charge.at[:7],
        "pipeline": pipeline,
        "stage": rest.partition("/")[0],
        "variant": charge.variant,
        "person": charge.person,
        "home": home,
    }
    return tuple(found[one] or UNKNOWN_NAME for one in by)
