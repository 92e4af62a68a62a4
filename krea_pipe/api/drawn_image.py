"""Checks what an engine has drawn: a whole PNG of the right size that shows something."""

from krea_pipe.api.engine import DrawFailed
from krea_pipe.core.engine import Drawing
from krea_pipe.core.image_file import image_size, sniff
from krea_pipe.core.images import NotAnImage, decoding, opened
from krea_pipe.core.outcome import Failure


def check_drawn(data: bytes, drawing: Drawing) -> None:
    """Check an image; this decodes it, which takes about 10 ms for a megapixel.

    Args:
        data: what the engine returned.
        drawing: what it was to draw.

    Raises:
        DrawFailed: it is no PNG, not whole, of another size, or black.
    """
    found = sniff(data)
    if found != "image/png":
        raise DrawFailed(Failure("not_png", f"the engine returned {_name(found)} and not a PNG"))
    size, asked = image_size(data), (drawing.width, drawing.height)
    if size is not None and size != asked:
        message = f"the engine drew {size[0]} x {size[1]} pixels and not {asked[0]} x {asked[1]}"
        raise DrawFailed(Failure("wrong_size", message, "wrong_size"))
    try:
        with decoding(), opened(data) as image:
            is_black = image.convert("RGB").getbbox() is None
    except NotAnImage as error:
        raise DrawFailed(Failure("damaged_image", f"the engine returned a damaged image: {error}")) from error
    if is_black:
        # Values that are not numbers become 0 on the way to 8 bits, and nothing else tells them.
        message = "the engine drew a black image, which it does when its numbers overflow"
        raise DrawFailed(Failure("black_image", message))


def _name(mime: str | None) -> str:
    return "no image" if mime is None else f"a {mime.partition('/')[2].upper()}"
