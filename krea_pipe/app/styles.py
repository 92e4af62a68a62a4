"""Trained styles: listing those of an account, training one, and writing its id into a pipeline file."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypedDict

from krea_pipe.api.wire import StylePage
from krea_pipe.app import flow
from krea_pipe.app.execution import token_for, transport_for
from krea_pipe.app.workspace import Workspace, open_workspace, target_of
from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.core.git import person_of
from krea_pipe.core.outcome import Failure
from krea_pipe.core.settings import LOCAL_PACE, Target, live_pace
from krea_pipe.core.unreadable import unreadable_file
from krea_pipe.executor.account_calls import list_styles
from krea_pipe.executor.training_task import TrainingOrder, execute_training
from krea_pipe.pipeline.editing.edits import add_style
from krea_pipe.pipeline.spec import Loaded, Overrides
from krea_pipe.planning.training import Training, training_images
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.request_state import Trained

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off"})
"""Words that YAML takes for something else than text."""


class StyleTerms(TypedDict):
    """What to train, and on which terms.

    Args:
        name: what the style is called.
        model: the base model.
        kind: what the images share.
        trigger: a word that calls for the style in prompts.
        steps: the most training steps; None lets Krea choose.
        max_cost: what it may cost, in US dollars.
        wait: how many seconds the end is waited for.
        again: train, and pay, even if this was trained before or a lost answer may have done it.
        write: write the style's id into the pipeline file.
    """

    name: str
    model: str
    kind: str
    trigger: str | None
    steps: int | None
    max_cost: Decimal | None
    wait: float
    again: bool
    write: bool


@dataclass(frozen=True, slots=True)
class TrainedStyle:
    """A training that has ended, and its pipeline file; `end` is the style, or the reason for its absence."""

    file: Path
    loaded: Loaded
    terms: StyleTerms
    training: Training
    target: Target
    end: Trained | Failure


def styles_of_account(environment: Mapping[str, str], which: str, limit: int, *, local: bool) -> StylePage:
    """The first styles, at most `limit`, that one of Krea's filters returns.

    Args:
        environment: where the API and the key come from.
        which: the filter, in Krea's words.
        limit: the most styles that are read.
        local: ask the local Krea.

    Returns:
        The styles, the newest first.

    Raises:
        RefusedByKrea: the key is not valid. StateError: Krea cannot be asked.
    """
    target = target_of(environment, local=local)
    token = token_for(target, environment)
    return list_styles(target, token, which=which, most=limit, transport=transport_for(target))


def train_style(
    file: Path,
    references: str,
    overrides: Overrides,
    terms: StyleTerms,
    environment: Mapping[str, str],
    *,
    local: bool,
    warn: Callable[[Loaded], None],
    tell: Callable[[str], None],
) -> TrainedStyle:
    """Train a style, find the trained one, or wait for the job in flight.

    Args:
        file: the pipeline.
        references: the name of a set under its `references:`.
        overrides: settings that override the file.
        terms: what is trained, and on which terms.
        environment: where the API, the key, the pace and the home folder come from.
        local: train at the local Krea.
        warn: receives warnings about the file.
        tell: receives messages about the progress.

    Returns:
        The style, or the reason for its absence, with its file and terms.

    Raises:
        KreaPipeError: the training cannot start and nothing was sent, or nothing can be recorded.
        KeyboardInterrupt: interrupted twice; the journal is safe.
    """
    _check_name(terms["name"])
    loaded = flow.load_pipeline(file, overrides)
    images = training_images(loaded.pipeline, loaded.fingerprints, references)
    sources = tuple(image.source for image in images)
    training = Training(terms["model"], terms["kind"], terms["name"], sources, terms["trigger"], terms["steps"])
    workspace = open_workspace(environment, file, local=local)
    if terms["write"]:
        _check_edit(file, loaded, training, workspace, again=terms["again"])
    warn(loaded)
    token = token_for(workspace.target, environment)
    flow.check_secret(loaded.pipeline, token)
    order = TrainingOrder(
        training=training,
        images=images,
        budget=loaded.pipeline.budget,
        space=workspace.space,
        target=workspace.target,
        token=token,
        run_id=flow.new_run_id("train", datetime.now(UTC)),
        pipeline=loaded.pipeline.name,
        pace=LOCAL_PACE if local else live_pace(environment),
        tell=tell,
        max_cost=terms["max_cost"],
        again=terms["again"],
        seconds=terms["wait"],
        person="" if local else person_of(Path.cwd(), environment),
        transport=transport_for(workspace.target),
    )
    return TrainedStyle(file, loaded, terms, training, workspace.target, execute_training(order))


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or name.lower() in RESERVED:
        hint = "use letters, digits and _"
        raise UsageError(Problem("bad_name", f"{name!r} is not a valid name under `styles:`", hint=hint))


def write_style(trained: TrainedStyle, style_id: str) -> bool:
    """Write a style into the file, with its comments and its layout, if that was asked for.

    Args:
        trained: the training, with its file and terms.
        style_id: the id of the style.

    Returns:
        Whether the file was changed.

    Raises:
        InvalidInput: the file cannot be edited. StateError: it cannot be read or written.
    """
    file, name = trained.file, trained.terms["name"]
    board = trained.loaded.pipeline.styles.get(name)
    if not trained.terms["write"] or (board is not None and board.id == style_id):
        return False
    write_atomically(file.resolve(), _edited(file, name, style_id).encode())
    return True


def _check_edit(file: Path, loaded: Loaded, training: Training, workspace: Workspace, *, again: bool) -> None:
    """Refuse an edit that cannot be made, before anything is paid; the id may already be there."""
    board = loaded.pipeline.styles.get(training.name)
    known = workspace.space.journal.replay().style(training.key)
    if board is None or again or known is None or known.style_id != board.id:
        _edited(file, training.name, "st_0")


def _edited(file: Path, name: str, style_id: str) -> str:
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise StateError(unreadable_file(file, error)) from error
    return add_style(text, name, style_id, file=file)
