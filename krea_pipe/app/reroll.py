"""Rerolls: takes of cells with other seeds are generated beside each other, and one becomes a patch in the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from krea_pipe.app import flow
from krea_pipe.app.planned_run import failed_of, status_of
from krea_pipe.app.workspace import Workspace, open_workspace
from krea_pipe.core.errors import InvalidInput, Place, Problem, UsageError, whole_file
from krea_pipe.core.request import Key, key_of
from krea_pipe.matrix.cell import Cell
from krea_pipe.matrix.rerolling import (
    NAMED,
    TAKES_FOLDER,
    Takes,
    axis_of,
    named_or_matching,
    take_cells,
    takes_of,
    when_of,
    without_own_seed,
    without_own_seeds,
)
from krea_pipe.matrix.selecting import drawable, matching
from krea_pipe.matrix.selection import parse_selection
from krea_pipe.pipeline.editing.patch_edit import SeedPatch, patch_seed
from krea_pipe.pipeline.editing.yaml_text import flow_text
from krea_pipe.pipeline.model import ReportView
from krea_pipe.pipeline.spec import Loaded, Overrides
from krea_pipe.planning.plan import Fetch, Plan, Reuse
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.known import look_up

_MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class RerollRequest:
    """The cells of a pipeline file to reroll, by ids or expressions; with `failed_checks`, those that fail a check."""

    file: Path
    words: tuple[str, ...]
    overrides: Overrides
    max_cells: int
    failed_checks: bool = False


@dataclass(frozen=True, slots=True)
class Reroll:
    """The takes of some cells, ready to be planned or run.

    `loaded` is the pipeline under the name of its rerolls, with a page that has a row for each cell; `cells` are the
    takes, and the images that they need. `unseen` are the cells without an image, of which there are only new takes,
    and `skipped` says which cells that were meant have no seed of their own.
    """

    loaded: Loaded
    name: str
    takes: tuple[Takes, ...]
    cells: tuple[flow.KeyedCell, ...]
    unseen: tuple[str, ...]
    skipped: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """A pipeline file with another seed for one cell.

    `before` and `after` are its text, `seed` is that of the cell now and `former` was it before, `given` the one
    without a patch. `is_stored` says that the image is in the store, `following` are cells generated from this one,
    `same` other cells that have the same request.
    """

    cell: str
    before: str
    after: str
    seed: int | None
    former: int | None
    given: int | None
    is_stored: bool
    following: tuple[str, ...]
    same: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Basis:
    """A pipeline file before a reroll: its cells, what the store has of them, and those that are meant."""

    request: RerollRequest
    loaded: Loaded
    workspace: Workspace
    plan: Plan
    found: Sequence[flow.KeyedCell]
    chosen: Sequence[flow.KeyedCell]
    given: Mapping[str, int | None]
    skipped: tuple[Problem, ...]

    @property
    def by_id(self) -> dict[str, Cell]:
        """All cells by their ids."""
        return {cell.id: cell for cell, _ in self.found}

    def stored(self, keys: Sequence[flow.KeyedCell]) -> set[Key]:
        """The keys among some whose images are stored."""
        known = look_up(self.workspace.space, [key for _, key in keys], (cell.id for cell, _ in keys))
        return {key for _, key in keys if key in known.results}


def prepare_reroll(request: RerollRequest, count: int, environment: Mapping[str, str], *, local: bool) -> Reroll:
    """Propose new seeds for cells, and make sure that a pick of them can become a patch.

    Args:
        request: the file and the cells.
        count: how many new seeds each cell gets.
        environment: where the API and the home folder may be named.
        local: plan proofs.

    Returns:
        The takes.

    Raises:
        KreaPipeError: the file or the store cannot be read, no cell is meant, or one cannot be rerolled.
    """
    basis = _read(request, environment, local=local)
    cells = [cell for cell, _ in basis.chosen]
    takes = takes_of(cells, [cell for cell, _ in basis.found], basis.given, count)
    _check_patches(basis, takes)
    axis, kept, unseen = axis_of(cells), list[flow.KeyedCell](), list[str]()
    upstream = _upstream(basis)
    for one in takes:
        made = take_cells(one, axis, len(upstream) + len(kept))
        old = [taken for taken in made if taken[0].request.seed not in one.new]
        stored = basis.stored(old)
        unseen += [] if any(key in stored for _, key in old) else [one.cell.id]
        kept += [taken for taken in made if taken not in old or taken[1] in stored]
    names = tuple(dict.fromkeys(name for cell in cells for name in cell.names))
    pipeline = basis.loaded.pipeline
    view = ReportView(names, (axis,))
    renamed = replace(pipeline, name=NAMED.format(pipeline.name), report=view)
    loaded = replace(basis.loaded, pipeline=renamed)
    return Reroll(loaded, pipeline.name, tuple(takes), (*upstream, *kept), tuple(unseen), basis.skipped)


def take_seed(
    request: RerollRequest,
    seed: int | None,
    environment: Mapping[str, str],
    *,
    local: bool,
    writes: bool,
) -> Taken:
    """Write the seed of a take into the pipeline file as a patch for its cell, or remove the patch.

    Args:
        request: the file and the cell.
        seed: the seed; the one that the cell has without a patch removes the patch.
        environment: where the API and the home folder may be named.
        local: look for the image among the proofs.
        writes: write the file.

    Returns:
        What has changed.

    Raises:
        UsageError: several cells are meant, another request would change as well, or the file cannot be edited safely.
        KreaPipeError: the file or the store cannot be read or written.
    """
    basis = _read(request, environment, local=local)
    if len(basis.chosen) > 1:
        shown = ", ".join(cell.id for cell, _ in basis.chosen[:5])
        message = f"--take is for one cell, and {len(basis.chosen):,} match"
        raise UsageError(Problem("several_cells", message, hint=f"specify one of them: {shown}"))
    ((cell, former_key),) = basis.chosen
    given, wanted = basis.given[cell.id], cell.request._replace(seed=seed)
    key = key_of(wanted)
    raw = request.file.read_bytes()
    text = raw.decode()
    new, following = text, tuple[str, ...]()
    if key != former_key:
        new = patch_seed(text, _patch_of(basis, cell, None if seed == given else seed), request.file)
        following = _check_changes(basis, cell, seed, key, _edited_cells(basis, cell, new))
    if writes and new != text:
        write_atomically(request.file.resolve(), new.encode())
    stored = bool(basis.stored([(cell, key)]))
    same = tuple(one.id for one, own in basis.found if own == key and one.id != cell.id)
    return Taken(cell.id, text, new, seed, cell.request.seed, given, stored, following, same)


def _read(request: RerollRequest, environment: Mapping[str, str], *, local: bool) -> _Basis:
    loaded = flow.load_pipeline(request.file, request.overrides)
    workspace = open_workspace(environment, request.file, local=local, engine=loaded.pipeline.engine)
    options = flow.RunOptions(request.max_cells)
    basis = flow.planned(loaded, workspace.space, workspace.target, options)
    statuses = {step.key: status_of(step, basis.replay) for step in basis.plan.steps}
    failed = failed_of(workspace.space, loaded.pipeline.name, basis.found)
    chosen = basis.found
    if request.words:
        chosen = named_or_matching(chosen, request.words, loaded.pipeline, statuses, failed)
    if request.failed_checks:
        chosen = matching(chosen, parse_selection(("check:failed",), ()), loaded.pipeline, statuses, failed)
    skipped = {cell.id: without_own_seed([cell], loaded.pipeline) for cell, _ in chosen}
    problems = [problem for found in skipped.values() for problem in found]
    chosen = [one for one in chosen if not skipped[one[0].id]]
    if not chosen:
        raise UsageError(*problems[:_MAX_PROBLEMS])
    bare = without_own_seeds(loaded.pipeline, [cell for cell, _ in chosen])
    unpatched = drawable(bare, loaded.fingerprints, request.max_cells).found
    given = {cell.id: cell.request.seed for cell, _ in unpatched}
    return _Basis(request, loaded, workspace, basis.plan, basis.found, chosen, given, (*problems,))


def _upstream(basis: _Basis) -> list[flow.KeyedCell]:
    """The images that takes need, which must be there: a reroll generates only takes.

    Raises:
        UsageError: one is not there.
    """
    actions = {step.key: step.action for step in basis.plan.steps}
    by_key = {key: cell for cell, key in basis.found}
    wanted = dict.fromkeys(key for cell, _ in basis.chosen for key in cell.request.upstream)
    lacking = [by_key[key].id for key in wanted if not isinstance(actions[key], Reuse | Fetch)]
    if lacking:
        message = f"{lacking[0]}, from which a take is generated, has no image yet"
        hint = f"generate it first: krea-pipe run {basis.request.file} -k {lacking[0]}"
        raise UsageError(Problem("upstream_missing", message, hint=hint))
    cells = [by_key[key]._replace(out=f"{TAKES_FOLDER}/{by_key[key].id}/source", files=()) for key in wanted]
    return [(cell._replace(position=place), key) for place, (cell, key) in enumerate(zip(cells, wanted, strict=True))]


def _patch_of(basis: _Basis, cell: Cell, seed: int | None) -> SeedPatch:
    stage = next(one for one in basis.loaded.pipeline.stages if one.name == cell.stage)
    source = basis.by_id[cell.source] if cell.source is not None else None
    return SeedPatch(stage.trail, when_of(cell, source, stage), seed)


def _cells_of(request: RerollRequest, text: str) -> dict[str, flow.KeyedCell]:
    """The cells of an edited pipeline file, by their ids."""
    loaded = flow.load_pipeline(request.file, request.overrides, edited=text.encode())
    found = drawable(loaded.pipeline, loaded.fingerprints, request.max_cells).found
    return {cell.id: (cell, key) for cell, key in found}


def _check_patches(basis: _Basis, takes: Sequence[Takes]) -> None:
    """Refuse to pay for takes that no patch can bring into the file.

    Raises:
        UsageError: a patch with another seed would change more of the request than the seed.
    """
    file = basis.request.file
    text = file.read_bytes().decode()
    try:
        for one in takes:
            text = patch_seed(text, _patch_of(basis, one.cell, one.new[0]), file)
    except UsageError:  # by hand it can be written
        return
    after = _edited_cells(basis, takes[0].cell, text)
    for one in takes:
        cell, own = one.cell, one.cell.request
        found = after[cell.id][0] if cell.id in after else cell
        # Cells that it is generated from may be rerolled as well.
        alone = found.request._replace(references=own.references, image=own.image)
        if alone != own._replace(seed=one.new[0]):
            raise UsageError(_more_than_seed(basis, cell, found))


def _edited_cells(basis: _Basis, cell: Cell, text: str) -> dict[str, flow.KeyedCell]:
    """The cells of the file with a patch for one of them.

    Raises:
        UsageError: the patch makes the file invalid.
    """
    try:
        return _cells_of(basis.request, text)
    except InvalidInput as error:
        message = f"{cell.id} cannot have a seed of its own: {error.problems[0].message}"
        raise UsageError(Problem("no_seed", message, _place(basis, cell), error.problems[0].hint)) from error


def _more_than_seed(basis: _Basis, cell: Cell, after: Cell) -> Problem:
    old, new = cell.request.fields(), after.request.fields()
    names = [name for name in dict.fromkeys((*old, *new)) if name != "seed" and old.get(name) != new.get(name)]
    if not names:
        message = f"a patch cannot set the seed of {cell.id}"
        hint = "`--set`, a later patch or a profile sets it"
    else:
        message = f"the seed of {cell.id} also decides its {' and its '.join(names)}"
        hint = f"a take differs in the seed alone; write the {' and the '.join(names)} so that `seed` does not matter"
    return Problem("not_only_the_seed", message, _place(basis, cell), hint)


def _place(basis: _Basis, cell: Cell) -> Place:
    stage = next(one for one in basis.loaded.pipeline.stages if one.name == cell.stage)
    return basis.loaded.pipeline.document.key_place(stage.trail)


def _check_changes(
    basis: _Basis, cell: Cell, seed: int | None, key: Key, after: Mapping[str, flow.KeyedCell]
) -> tuple[str, ...]:
    """Make sure that a patch changes one cell, and those that are generated from it, which are returned.

    Raises:
        UsageError: it changes others, or not this one.
    """
    keys = {own.id: own_key for own, own_key in basis.found}
    changed = {one for one in keys.keys() | after.keys() if one not in after or after[one][1] != keys.get(one)}
    following = _following(basis.found, cell) | _following([*after.values()], cell)  # picks follow requests
    others = sorted(changed - following - {cell.id})
    if cell.id in after and after[cell.id][1] == key and not others:
        return tuple(one for one in dict.fromkeys((*keys, *after)) if one in changed and one != cell.id)
    if others:
        message = f"a patch for {cell.id} would also change {', '.join(others[:5])}"
        patch = _patch_of(basis, cell, seed)
        hint = f"write a narrower one by hand, such as: - {flow_text(patch.rule)}"
        raise UsageError(Problem("unsafe_edit", message, whole_file(basis.request.file), hint))
    raise UsageError(_more_than_seed(basis, cell, after[cell.id][0] if cell.id in after else cell))


def _following(found: Sequence[flow.KeyedCell], cell: Cell) -> set[str]:
    """The cells among some that are generated from one, directly or not."""
    keys = {own.id: key for own, key in found}
    ids, grows = {cell.id}, True
    while grows:
        made = {keys[one] for one in ids if one in keys}
        more = {own.id for own, _ in found if own.source in ids or any(key in made for key in own.request.upstream)}
        grows = not more <= ids
        ids |= more
    return ids - {cell.id}
