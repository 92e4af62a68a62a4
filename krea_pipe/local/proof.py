"""Proofs: stand-ins for Krea's images that show the parameters of the request that asked for them.

What to read where: size and shape from the aspect ratio; colours from the words of the prompt, overlaid by the
moodboard's and by the references' own pixels, as far as their strengths go; the composition from the seed; how
much of it is shown from `creativity` and `complexity`; chroma and contrast from `intensity`; slant, bows and blur
from `movement`; contour lines from trained styles; grain from Large, flat fills from Turbo; the rest in the caption.

A proof depends on its brief alone: the same brief gives the same bytes.
"""

import hashlib
import io

from PIL import Image

from krea_pipe.local.caption import write_caption
from krea_pipe.local.colour import Colour
from krea_pipe.local.composition import compose
from krea_pipe.local.finish import blur_along, develop, lay_ground
from krea_pipe.local.marks import Stage
from krea_pipe.local.painting import Contour, Easel
from krea_pipe.local.palette import choose_palette
from krea_pipe.local.proof_spec import ProofSpec


def draw_proof(brief: ProofSpec) -> bytes:
    """A PNG of the size that the order's aspect ratio has at 1K."""
    order = brief.order
    palette = choose_palette(brief)
    canvas = lay_ground(brief, palette)
    easel = Easel(canvas, min(order.pixels), palette, order.variant == "medium-turbo", _choose_contour(brief))
    for mark in compose(brief, Stage.of(order.pixels)):
        easel.paint(mark)
    image = blur_along(canvas, order.sliders.movement / 100)
    if order.variant == "large":
        image = develop(image)
    write_caption(image, brief, palette)
    return _encode(image)


def _choose_contour(brief: ProofSpec) -> Contour | None:
    """A trained style draws lines: light or dark and in a hue by its id, wide by its strength."""
    if not brief.order.styles:
        return None
    style = max(brief.order.styles, key=lambda style: abs(style.strength))
    digest = hashlib.sha256(style.id.encode("utf-8", "backslashreplace")).digest()
    colour = Colour(0.22 if digest[0] % 2 else 0.95, 0.06, digest[1] * 360 / 256)
    return Contour(colour, 0.8 + 3.2 * abs(style.strength))


def _encode(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=2)
    return file.getvalue()
