"""Small pictures, perceptual signatures and measures of pixels, by code that is loaded only when one is missing."""

from collections.abc import Sequence

from krea_pipe.report.checks.checking import PixelMeasure
from krea_pipe.report.export.review import PREVIEW_SIDE


def shrink(data: bytes) -> bytes | None:
    """A thumbnail as WebP.

    Args:
        data: an image file.

    Returns:
        The bytes of the thumbnail, None of what is no image.
    """
    from krea_pipe.core.images import small_picture  # noqa: PLC0415 (Pillow, which most commands do without)

    return small_picture(data)


def preview(data: bytes) -> bytes | None:
    """A preview of at most 1,024 pixels a side as WebP.

    Args:
        data: an image file.

    Returns:
        The bytes of the preview, None of what is no image.
    """
    from krea_pipe.core.images import small_picture  # noqa: PLC0415 (Pillow, which most commands do without)

    return small_picture(data, PREVIEW_SIDE)


def sign(data: bytes) -> str:
    """The perceptual signature of an image.

    Args:
        data: an image file.

    Returns:
        The signature, "" of what is no image.
    """
    from krea_pipe.core.images import likeness_of  # noqa: PLC0415 (Pillow, which most commands do without)

    return likeness_of(data)


def measure(data: bytes, wanted: Sequence[PixelMeasure]) -> list[float] | str:
    """Measures of the pixels of an image, which is decoded once.

    Args:
        data: an image file.
        wanted: the measures.

    Returns:
        A value for each of them, or why the image cannot be measured.
    """
    from krea_pipe.core.images import NotAnImage  # noqa: PLC0415 (Pillow, which most commands do without)
    from krea_pipe.report.checks.pixels import measure_pixels  # noqa: PLC0415 (the same)

    try:
        return measure_pixels(data, wanted)
    except NotAnImage as error:
        return str(error)
