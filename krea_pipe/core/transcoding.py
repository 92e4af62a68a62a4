"""Makes the file of a delivery recipe from the bytes of an image: upright, resized, in the wanted format and colours.

The same bytes and the same recipe give the same file in the same version of Pillow: nothing depends on the clock or on
the number of threads.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from PIL import Image, ImageChops, ImageCms

from krea_pipe.core.appearance import colour_profile
from krea_pipe.core.delivery_mark import XMP_KEY, mark_attributes, sealed
from krea_pipe.core.image_file import with_text
from krea_pipe.core.images import (
    MAX_PIXELS,
    MODES_OF_SPACE,
    NotAnImage,
    appearance_of,
    decoding,
    eight_bits,
    in_srgb,
    opened,
)
from krea_pipe.core.provenance import is_signed
from krea_pipe.core.recipe import JPEG_BACKGROUND, Transcoded, Transcoding
from krea_pipe.core.xmp import XmpFields, xmp_packet

_MAX_JPEG_XMP = 65_502
"""Bytes of XMP in a JPEG, whose segments have 64 KiB; other formats have no limit."""
_PROMPT_IN_JPEG = 4_000
"""Characters of a prompt that fit in any case, twice and escaped."""
_FINE_COLOURS = 90
"""The quality from which JPEG and AVIF keep the colour of each pixel."""
UNSIGNED = "its Content Credentials are not in the file, because they vouch for the bytes that Krea sent"
UNDERLAID = f"its transparent parts are {JPEG_BACKGROUND}, because JPEG has no transparency"


def render_recipe(data: bytes, recipe: Transcoding, fields: XmpFields, made: str) -> Transcoded:
    """Make a file from an image.

    Args:
        data: the bytes of the image, as Krea sent them.
        recipe: how the file is made; its format is not `original`.
        fields: what its XMP says.
        made: the identity of the file, which is written into its XMP.

    Returns:
        The file.

    Raises:
        NotAnImage: the image is damaged, or cannot have this format and size.
    """
    notes = [UNSIGNED] if is_signed(data) else []
    with decoding():
        image = opened(data)
        image.load()
        turn = appearance_of(image, data).turn
        image = _with_alpha(image)
    image = image if turn is None else image.transpose(turn)
    image = _trimmed(image, recipe.trim)
    image = _resized(image, recipe)
    image, profile = _coloured(image, colour_profile(data), recipe)
    if _is_opaque(image):
        image = image.convert("RGB") if image.mode == "RGBA" else image
    else:
        if recipe.format == "jpeg" and recipe.background is None:
            notes.append(UNDERLAID)
        background = recipe.background or (JPEG_BACKGROUND if recipe.format == "jpeg" else None)
        image = image if background is None else _flattened(image, background, profile)
    encoded = _encoded(image, recipe, profile, replace(fields, more=mark_attributes(made)))
    return Transcoded(sealed(encoded), *image.size, tuple(notes))


def _with_alpha(image: Image.Image) -> Image.Image:
    """An image with 8 bits for each channel, and with its transparency as a channel, whatever form it had."""
    if image.has_transparency_data and not image.mode.startswith("I"):
        return image.convert("RGBA")
    return eight_bits(image)


def _is_opaque(image: Image.Image) -> bool:
    return image.mode != "RGBA" or image.getchannel("A").getextrema() == (255, 255)


def _trimmed(image: Image.Image, tolerance: int | None) -> Image.Image:
    """The image without its border: the transparent one, or else the one in the colour of its corner."""
    if tolerance is None:
        return image
    box = None
    if image.mode == "RGBA":
        box = image.getchannel("A").getbbox()
    if box in (None, (0, 0, *image.size)):
        box = _content(image.convert("RGB"), tolerance)
    return image.crop(box) if box is not None else image


def _content(image: Image.Image, tolerance: int) -> tuple[int, int, int, int] | None:
    """What differs from the corner of an image; None if nothing does."""
    corner = Image.new("RGB", image.size, image.getpixel((0, 0)))
    red, green, blue = ImageChops.difference(image, corner).split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return most.point([255 if value > tolerance else 0 for value in range(256)]).getbbox()


def _resized(image: Image.Image, recipe: Transcoding) -> Image.Image:
    """The image in its size. Pillow weighs colours by their alpha, so that hidden ones do not show at edges."""
    size = recipe.size_of(*image.size)
    if size[0] * size[1] > MAX_PIXELS:
        raise NotAnImage(f"{size[0]} x {size[1]} is more than {MAX_PIXELS // 1_000_000} megapixels")
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def _coloured(image: Image.Image, profile: bytes | None, recipe: Transcoding) -> tuple[Image.Image, bytes | None]:
    """The image in its own colours and their profile, or in sRGB and none; CMYK is always converted."""
    space = profile[16:20] if profile else b""
    is_grey = image.mode == "L" and space == b"GRAY" and recipe.format in ("png", "jpeg")
    if recipe.colours == "keep" and (is_grey or space == b"RGB ") and _is_profile(profile):
        if space == b"RGB " and image.mode == "L":
            image = image.convert("RGB")
        if image.mode in MODES_OF_SPACE[space]:
            return image, profile
    image = in_srgb(image, profile)
    return (image if image.mode in ("RGB", "RGBA", "L") else image.convert("RGB")), None


def _is_profile(profile: bytes | None) -> bool:
    try:
        return profile is not None and bool(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False


def _flattened(image: Image.Image, background: str, profile: bytes | None) -> Image.Image:
    """The image on a colour, which is of sRGB and becomes one of the profile."""
    colour = Image.new("RGB", (1, 1), background)
    if profile is not None:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        ImageCms.profileToProfile(colour, ImageCms.createProfile("sRGB"), own, inPlace=True)
    under = colour.resize(image.size).convert("RGBA")
    return Image.alpha_composite(under, image).convert("RGB")


def _encoded(image: Image.Image, recipe: Transcoding, profile: bytes | None, fields: XmpFields) -> bytes:
    packet = xmp_packet(fields)
    if recipe.format == "jpeg" and len(packet.encode()) > _MAX_JPEG_XMP:
        packet = xmp_packet(replace(fields, prompt=f"{fields.prompt[:_PROMPT_IN_JPEG]} …"))
    buffer = io.BytesIO()
    image.info.clear()  # of which Pillow would write some
    options: dict[str, Any] = {} if profile is None else {"icc_profile": profile}
    try:
        image.save(buffer, **_WRITERS[recipe.format](recipe), **options, xmp=packet.encode("utf-8", "replace"))
    except (OSError, ValueError) as error:
        size = f"{image.width} x {image.height}"
        raise NotAnImage(f"an image of {size} cannot be written as {recipe.format}: {error}") from error
    data = buffer.getvalue()
    return with_text(data, {XMP_KEY: packet}) if recipe.format == "png" else data  # which Pillow writes without XMP


def _png(_: Transcoding) -> dict[str, Any]:
    return {"format": "PNG"}


def _jpeg(recipe: Transcoding) -> dict[str, Any]:
    quality = recipe.quality or 0
    plain = {"format": "JPEG", "quality": quality, "optimize": True, "progressive": True}
    return {**plain, "subsampling": "4:4:4"} if quality >= _FINE_COLOURS else plain


def _webp(recipe: Transcoding) -> dict[str, Any]:
    # In a lossless file, quality is the effort; 75 is between the two ends.
    how = {"lossless": True, "quality": 75} if recipe.lossless else {"quality": recipe.quality}
    return {"format": "WEBP", "method": 4, **how}


def _avif(recipe: Transcoding) -> dict[str, Any]:
    # One thread, because more give other bytes; images are made side by side in any case.
    quality = recipe.quality or 0
    subsampling = "4:4:4" if quality >= _FINE_COLOURS else "4:2:0"
    return {"format": "AVIF", "quality": quality, "speed": 6, "max_threads": 1, "subsampling": subsampling}


_WRITERS: Mapping[str, Callable[[Transcoding], dict[str, Any]]] = {
    "png": _png,
    "jpeg": _jpeg,
    "webp": _webp,
    "avif": _avif,
}
