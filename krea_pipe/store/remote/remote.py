"""A store that several homes share, as the environment names it.

Its parts are imported where they are opened: every run reads this module, and few have a shared store.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.settings import Target
from krea_pipe.store.remote.bucket import Bucket, open_bucket

if TYPE_CHECKING:
    from krea_pipe.store.remote.claims import Claims
    from krea_pipe.store.remote.named_budget import NamedBudget
    from krea_pipe.store.remote.presence import SharedPresence
    from krea_pipe.store.remote.record import Seal
    from krea_pipe.store.remote.results import SharedResults
    from krea_pipe.store.remote.shard_runs import ShardRuns

ADDRESS_NAME = "KREA_PIPE_REMOTE"
MODE_NAME = "KREA_PIPE_REMOTE_MODE"
SECRET_NAME = "KREA_PIPE_REMOTE_SECRET"
FORMAT = 1
"""The layout version that this version of krea-pipe writes.

`format` in the store has the one that is in use, and `announced` the one that will follow it.
"""
_FORMAT_NAME = "format"
LEAST_SECRET = 16
SHARED_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""The names of runs and of budgets that several homes share."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A shared store of one API: what it has is kept apart from that of other APIs.

    Args:
        bucket: its objects.
        seal: signs and checks records.
        warn: receives warnings about ignored records.
        has_claims: whether a request is claimed before it is paid.
        has_leases: whether a claim ends with its run, because the jobs of the API do.
    """

    bucket: Bucket
    seal: "Seal"
    warn: Callable[[Problem], None]
    has_claims: bool = True
    has_leases: bool = False

    @property
    def results(self) -> "SharedResults":
        """The images that others have paid for."""
        from krea_pipe.store.remote.results import SharedResults  # noqa: PLC0415

        return SharedResults(self.bucket, self.seal, self.warn)

    @property
    def shard_runs(self) -> "ShardRuns":
        """The runs that shards have left to be merged."""
        from krea_pipe.store.remote.shard_runs import ShardRuns  # noqa: PLC0415

        return ShardRuns(self.bucket, self.seal, self.warn)

    def claims(self, run: str, account: str) -> "Claims":
        """Open the claims from the point of view of a run.

        Args:
            run: the id of the run.
            account: the mark of its account.

        Returns:
            The claims, of which nothing is read yet.
        """
        from krea_pipe.store.remote.claims import Claims  # noqa: PLC0415

        return Claims(self.bucket, self.seal, run, account, self.has_leases)

    def presence(self, run: str, poll: float) -> "SharedPresence":
        """Open what shows which runs are alive.

        Args:
            run: the id of the run that asks.
            poll: the seconds between two polls.

        Returns:
            The presence, which shows nothing until it is opened.
        """
        from krea_pipe.store.remote.presence import SharedPresence  # noqa: PLC0415

        return SharedPresence(self.bucket, run, poll)

    def budget(self, name: str, run: str, total: Decimal) -> "NamedBudget":
        """Open a budget that several runs share.

        Args:
            name: its name.
            run: the run that takes from it.
            total: what all runs together may spend, in US dollars.

        Returns:
            The budget, of which nothing is taken yet.
        """
        from krea_pipe.store.remote.named_budget import NamedBudget  # noqa: PLC0415
        from krea_pipe.store.remote.numbered_log import NumberedLog  # noqa: PLC0415

        return NamedBudget(NumberedLog(self.bucket, self.seal), name, run, total)

    def check_format(self) -> Problem | None:
        """Read the version of the layout, or write it into an empty store.

        Returns:
            A warning when a later version will be needed soon.

        Raises:
            RemoteFailed: it could not be read or written.
            UsageError: this version of krea-pipe cannot use the store.
        """
        text = self.bucket.read(_FORMAT_NAME)
        if text is None:
            if not self.bucket.is_read_only:
                self.bucket.keep(_FORMAT_NAME, json.dumps({"version": FORMAT, "announced": FORMAT}).encode() + b"\n")
            return None
        try:
            data = json.loads(text)
            version, announced = int(data["version"]), int(data["announced"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            message = f"{self.bucket.address} is not a shared store of krea-pipe: its `{_FORMAT_NAME}` cannot be read"
            raise UsageError(Problem("bad_remote", message, hint=f"give {ADDRESS_NAME} its own prefix")) from error
        if version > FORMAT:
            message = f"{self.bucket.address} has format {version}, but this version of krea-pipe knows {FORMAT}"
            raise UsageError(Problem("remote_format", message, hint="update krea-pipe"))
        if announced > FORMAT:
            message = f"{self.bucket.address} will change to format {announced}, which this version does not know"
            return Problem("remote_format", message, hint="update krea-pipe soon")
        return None


def open_remote(
    environment: Mapping[str, str], target: Target, warn: Callable[[Problem], None], *, has_claims: bool = True
) -> Remote | None:
    """Open the shared store that the environment names; nothing is asked of it yet.

    Args:
        environment: KREA_PIPE_REMOTE, KREA_PIPE_REMOTE_MODE and KREA_PIPE_REMOTE_SECRET.
        target: the API; proofs are never shared.
        warn: receives warnings about ignored records.
        has_claims: whether a request is claimed before it is paid.

    Returns:
        The store; None when none is named, or for proofs.

    Raises:
        UsageError: the address, the mode or the secret cannot be used, or obstore is not installed.
    """
    address = environment.get(ADDRESS_NAME, "").strip()
    if not address or target.kind == "local":
        return None
    mode = environment.get(MODE_NAME, "").strip() or "write"
    if mode not in ("read", "write"):
        raise UsageError(Problem("bad_remote", f"{MODE_NAME} is `read` or `write`, not {mode!r}"))
    secret = environment.get(SECRET_NAME, "")
    if secret and len(secret) < LEAST_SECRET:
        hint = "create one with `python -c 'import secrets; print(secrets.token_hex(32))'`"
        message = f"{SECRET_NAME} is shorter than {LEAST_SECRET} characters"
        raise UsageError(Problem("bad_remote", message, hint=hint))
    from krea_pipe.store.remote.record import Seal  # noqa: PLC0415

    bucket = open_bucket(f"{address.rstrip('/')}/{target.space}", environment)
    return Remote(replace(bucket, is_read_only=mode == "read"), Seal(secret), warn, has_claims, not target.lasting)
