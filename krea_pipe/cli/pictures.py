"""Small pictures, made by code that is loaded only when one is missing."""

from krea_pipe.cli.lazy import LIKENESS, SMALL_PICTURE, load


def shrink(data: bytes) -> bytes | None:
    """A thumbnail, or None of what is no image."""
    small: bytes | None = load(SMALL_PICTURE)(data)
    return small


def sign(data: bytes) -> str:
    """The perceptual signature of an image, "" of what is no image."""
    signature: str = load(LIKENESS)(data)
    return signature
