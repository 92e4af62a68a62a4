"""The perceptual signature of a picture. `likeness` compares them, without Pillow, which takes long to load."""

from PIL import Image, ImageChops

from krea_pipe.core.likeness import COLOUR_SIDE, SIDE, VERSION


def signature(picture: Image.Image) -> str:
    """The signature of a picture, which should be shrunk to about 256 pixels: detail that is finer is not seen."""
    picture = _opaque(picture)
    light, blue, red = picture.resize((SIDE, SIDE), Image.Resampling.BOX).convert("YCbCr").split()
    grey = picture.convert("L")
    smooth = light.resize(grey.size, Image.Resampling.BILINEAR)
    detail = ImageChops.difference(grey, smooth).resize((SIDE, SIDE), Image.Resampling.BOX)
    colours = (plane.resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX) for plane in (blue, red))
    return VERSION + b"".join(plane.tobytes() for plane in (light, *colours, detail)).hex()


def _opaque(picture: Image.Image) -> Image.Image:
    """The picture in RGB; what is transparent is seen on white."""
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return picture if picture.mode == "RGB" else picture.convert("RGB")
