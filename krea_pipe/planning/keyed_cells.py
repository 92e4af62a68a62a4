"""Cells with the keys of their requests, and where their images come from at no cost."""

from typing import Literal, TypeAlias

from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell

FetchKind = Literal["", "machine", "krea"]
"""From where an image comes that the store lacks and that costs nothing; `krea` may turn out not to have it."""
KeyedCell: TypeAlias = tuple[Cell, Key]
"""A cell, and the key of its request."""
