"""How images stand to the lock file, for people and for programs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import click

from krea_pipe.cli.tables import print_table
from krea_pipe.planning.lock_check import LockState, Review

SHOWN = 40


def print_reviews(
    found: Sequence[Review], open_ones: Sequence[Review], words: Mapping[LockState, str], lock: Path
) -> None:
    """Print what a person has to look at, the most different first, and how many cells there are of each kind."""
    if open_ones:
        most = sorted(open_ones, key=lambda one: -2.0 if one.distance is None else -one.distance)
        rows = [[_number(one), one.id, words[one.state]] for one in most[:SHOWN]]
        print_table(["distance", "cell", "image"], rows, numbers=["distance"], long=["cell"])
    if len(open_ones) > SHOWN:
        click.echo(f"… and {len(open_ones) - SHOWN} more; --json lists them")
    counts = Counter(one.state for one in found)
    said = ", ".join(f"{counts[state]} {word}" for state, word in words.items() if counts[state])
    click.echo(f"{lock}: {said}.")


def reviews_json(found: Sequence[Review]) -> dict[str, object]:
    """The same for programs."""
    counts = Counter(one.state for one in found)
    cells = [
        {
            "id": one.id,
            "state": one.state,
            "locked_sha256": one.line and one.line.sha256,
            "sha256": one.sha256,
            "distance": one.distance,
        }
        for one in found
    ]
    return {"counts": {state: counts[state] for state in get_args(LockState)}, "cells": cells}


def _number(one: Review) -> str:
    return "–" if one.distance is None else f"{one.distance:.3f}"
