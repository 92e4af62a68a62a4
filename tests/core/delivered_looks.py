"""How files of recipes look in a program that heeds colour profiles and nothing else."""

import io
from itertools import product

from PIL import Image, ImageCms

from krea_pipe.core.recipe import Transcoding
from krea_pipe.core.transcoding import render_recipe
from krea_pipe.core.xmp import XmpFields

MADE = "ab" * 32
FIELDS = XmpFields("krea-pipe 1", "sea", 7)


def deliver(data, form="png", **settings):
    """The file that a recipe makes, in the best quality that its format has."""
    best = {} if form == "png" or settings.get("lossless") else {"quality": 95}
    return render_recipe(data, Transcoding(form, **{**best, **settings}), FIELDS, MADE)


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def managed(data):
    """The pixels of a file in sRGB, by its profile."""
    image = opened(data)
    assert image.getexif().get(0x0112, 1) == 1
    profile = image.info.get("icc_profile")
    if profile is None:
        return image
    output = "RGBA" if image.mode == "RGBA" else "RGB"
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=output)


def look(form, colours):
    return lambda data: managed(deliver(data, form, colours=colours).data)


DELIVERED = {
    f"{form} {colours}": look(form, colours)
    for form, colours in product(("png", "jpeg", "webp", "avif"), ("keep", "srgb"))
}
