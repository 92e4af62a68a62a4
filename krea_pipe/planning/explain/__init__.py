"""Where everything in one cell's request comes from, what its key is made of, and what a run would do with it."""

from krea_pipe.planning.explain.build import explain_cell
from krea_pipe.planning.explain.model import Explanation, Ingredient, Last, Origin, Prompt, Traced, Upstream

__all__ = ["Explanation", "Ingredient", "Last", "Origin", "Prompt", "Traced", "Upstream", "explain_cell"]
