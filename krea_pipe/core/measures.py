"""The measures of images that checks can have limits for: their names, their ranges, and what each one is."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure: the lowest and the highest value that it can have (None: no bound), and what it is, in words."""

    low: float | None
    high: float | None
    words: str

    @property
    def range(self) -> str:
        """The range in words, for messages; empty without one."""
        if self.low is None:
            return ""
        return f"at least {self.low:g}" if self.high is None else f"from {self.low:g} to {self.high:g}"


MEASURES: Mapping[str, Measure] = {
    "width": Measure(1, None, "columns of pixels"),
    "height": Measure(1, None, "rows of pixels"),
    "sharpness": Measure(0, None, "variance of the Laplacian of the luma, at 512 pixels"),
    "brightness": Measure(0, 1, "mean of the luma"),
    "contrast": Measure(0, 0.5, "standard deviation of the luma"),
    "colours": Measure(0, 1, "share of the pixels that have one of the colours"),
    "border": Measure(0, 1, "the widest plain strip along an edge, as a share of the width or height"),
    "blank": Measure(0, 1, "share of the pixels that have the median colour"),
    "nearest_distance": Measure(0, 1, "distance to the most similar other image of the stage"),
    "accepted_distance": Measure(0, 1, "distance to the accepted image in the lock file"),
    "command": Measure(None, None, "what a command prints"),
}
"""The measures by the name that a file has for them. Luma, distances and shares are from 0 to 1."""


def number_text(value: float) -> str:
    """A value or a limit as people write it: 0.05, 41.2031, 1024."""
    return f"{value:.10g}"


COMMAND = "command"
NEAREST = "nearest_distance"
ACCEPTED = "accepted_distance"
COLOUR_SHARE = "colours"
FAILED = "failed"
"""What selects the cells that fail any check, so that no check can have this name."""
