"""The files in `krea_pipe/data/`, read without importlib.resources, whose import takes longer than reading them."""

from pathlib import Path

_DATA = Path(__file__).parents[1] / "data"


def data_text(name: str) -> str:
    """The text of a file in `krea_pipe/data/`."""
    return (_DATA / name).read_text(encoding="utf-8")
