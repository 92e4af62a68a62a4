"""Which values of an axis a word means, found without reading all of them for each word."""

from collections.abc import Sequence
from typing import TypeAlias

from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.cell_ids import Scalar
from krea_pipe.pipeline.model import AxisValue

ValueIndexes: TypeAlias = dict[int, tuple[Sequence[AxisValue], dict[tuple[bool, Scalar], list[int]]]]
"""What was found, by the identity of the values, which are kept beside it."""


def index_of(wanted: Json, values: Sequence[AxisValue], known: ValueIndexes) -> Sequence[int]:
    """Which values a word in a rule or a matrix means: by the part in ids, or by the value itself."""
    if isinstance(wanted, (dict, list)):
        return ()
    if id(values) not in known:
        found: dict[tuple[bool, Scalar], list[int]] = {}
        for index, value in enumerate(values):
            for word in dict.fromkeys(((False, value.part), (isinstance(value.scalar, bool), value.scalar))):
                found.setdefault(word, []).append(index)
        known[id(values)] = values, found
    return known[id(values)][1].get((isinstance(wanted, bool), wanted), ())
