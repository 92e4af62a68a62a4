"""Small pictures, perceptual signatures, measures of pixels and delivered files, by code that is loaded when needed."""

from collections.abc import Sequence

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.recipe import Transcoded, Transcoding
from krea_pipe.core.xmp import XmpFields
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


def transcode(data: bytes, recipe: Transcoding, fields: XmpFields, made: str) -> Transcoded:
    """Make the file of a recipe.

    Args:
        data: an image file.
        recipe: how the file is made.
        fields: what its metadata says.
        made: its identity.

    Returns:
        The file.

    Raises:
        StateError: the image cannot become such a file.
    """
    from krea_pipe.core.images import NotAnImage  # noqa: PLC0415 (Pillow, which most commands do without)
    from krea_pipe.core.transcoding import render_recipe  # noqa: PLC0415

    try:
        return render_recipe(data, recipe, fields, made)
    except NotAnImage as error:
        raise StateError(Problem("not_delivered", str(error))) from error
    except MemoryError as error:
        raise StateError(Problem("not_delivered", "there is not enough memory to decode the image")) from error
