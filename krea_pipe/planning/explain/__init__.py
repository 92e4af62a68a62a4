"""Where everything in one cell's request comes from, what its key is made of, and what a run would do with it."""

from krea_pipe.planning.explain.build import explain_cell
from krea_pipe.planning.explain.model import Explanation, Ingredient, Last, Prompt, Said, Traced, Upstream
from krea_pipe.planning.explain.search import find_cell

__all__ = [
    "Explanation",
    "Ingredient",
    "Last",
    "Prompt",
    "Said",
    "Traced",
    "Upstream",
    "explain_cell",
    "find_cell",
]
