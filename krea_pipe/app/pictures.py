"""Small pictures and perceptual signatures, by code that is loaded only when one is missing."""


def shrink(data: bytes) -> bytes | None:
    """A thumbnail as WebP, or None of what is no image."""
    from krea_pipe.core.images import small_picture  # noqa: PLC0415 (Pillow, which most commands do without)

    return small_picture(data)


def sign(data: bytes) -> str:
    """The perceptual signature of an image, "" of what is no image."""
    from krea_pipe.core.images import likeness_of  # noqa: PLC0415 (Pillow, which most commands do without)

    return likeness_of(data)
