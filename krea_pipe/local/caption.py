"""The panel in the corner of a proof: the prompt, the parameters, and the colours it was painted with."""

import textwrap
import unicodedata
from functools import lru_cache
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont

from krea_pipe.local.order import ProofSpec
from krea_pipe.local.palette import Palette

_MARGIN, _PAD, _CHIP = 26, 18, 34
_PROMPT_SIZE, _FACT_SIZE = 21, 16
_WIDEST, _LONGEST = 470, 320
_FOLDS = str.maketrans({"–": "-", "—": "-", "‘": "'", "’": "'", "×": "x", "ß": "ss", "æ": "ae", "ø": "o", "→": ">"})


def write_caption(image: Image.Image, spec: ProofSpec, palette: Palette) -> None:
    """Draw the panel at the lower left."""
    strong, quiet = ((250, 248, 243), (205, 203, 200)) if palette.is_dark else ((26, 25, 28), (84, 82, 86))
    lines = [(line, _PROMPT_SIZE, strong) for line in wrap_text(make_printable(spec.order.prompt), _WIDEST)]
    lines += [(fact, _FACT_SIZE, quiet) for fact in _list_facts(spec)]
    thumbs = [thumb for tint in (*spec.tints, spec.source) if tint and (thumb := tint.picture.thumbnail)][:4]
    strip = 6 * _CHIP + len(thumbs) * (_CHIP + 6) + 110
    width = 2 * _PAD + round(max(strip, *(_font(size).getlength(text) for text, size, _ in lines)))
    height = 2 * _PAD + sum(size + 6 for _, size, _ in lines) + _CHIP
    left, top, base = _MARGIN, image.height - _MARGIN - height, image.height - _MARGIN - _PAD
    panel = Image.new("L", (width, height))
    ImageDraw.Draw(panel).rounded_rectangle((0, 0, width - 1, height - 1), 10, fill=222)
    paper = palette.ground.shift((0.14 if palette.is_dark else 0.96) - palette.ground.light, chroma=0.5)
    image.paste(paper.rgb, (left, top), panel)
    pen, x, y = ImageDraw.Draw(image), left + _PAD, top + _PAD - 4
    for text, size, ink in lines:
        pen.text((x, y), text, font=_font(size), fill=ink)
        y += size + 6
    for colour in palette:
        pen.rectangle((x, base - 20, x + _CHIP - 1, base - 1), fill=colour.rgb)
        x += _CHIP
    pen.rectangle((left + _PAD, base - 20, x - 1, base - 1), outline=quiet)
    for thumb in thumbs:
        image.paste(thumb.resize((_CHIP, _CHIP)), (x + 10, base - _CHIP))
        x += _CHIP + 6
    pen.text((left + width - _PAD, base - 3), "local proof", font=_font(_FACT_SIZE), fill=quiet, anchor="rs")


def make_printable(text: str) -> str:
    """The text in letters that the bundled font has; a run of other letters becomes the name of its script."""
    plain = unicodedata.normalize("NFKD", " ".join(text[: _LONGEST * 2].split()).translate(_FOLDS))
    letters = "".join(char for char in plain if not unicodedata.combining(char))
    runs = [(is_known, "".join(run)) for is_known, run in groupby(letters, key=_has_glyph)]
    return "".join(run if is_known else f"[{_name_script(run[0])}]" for is_known, run in runs)[:_LONGEST]


def wrap_text(text: str, width: int) -> list[str]:
    """At most three lines of about a width in pixels; what does not fit ends in an ellipsis."""
    text = text or "(empty prompt)"
    letters = int(width * len(text) / _font(_PROMPT_SIZE).getlength(text))
    return textwrap.wrap(text, letters, max_lines=3, placeholder="...", break_on_hyphens=False)


def _list_facts(spec: ProofSpec) -> list[str]:
    order = spec.order
    seed = f"no seed, take {spec.take}" if order.seed is None else f"seed {order.seed}"
    facts = [f"{order.variant} · {order.aspect_ratio} · creativity {order.creativity} · {seed[:28]}"]
    sliders = {name: getattr(order.sliders, name) for name in ("intensity", "complexity", "movement")}
    if any(sliders.values()):
        facts.append(" · ".join(f"{name} {value:+d}" for name, value in sliders.items() if value))
    inputs = []
    if spec.tints:
        inputs.append(f"ref{'s' * (len(spec.tints) > 1)} " + ", ".join(f"{tint.strength:g}" for tint in spec.tints))
    if order.moodboard:
        inputs.append(f"moodboard {order.moodboard.id[:8]} {order.moodboard.strength:g}")
    inputs += [f"style {make_printable(style.id)[:14]} {style.strength:g}" for style in order.styles[:2]]
    if spec.source:
        inputs.append(f"image {spec.source.strength:g}")
    return [*facts, " · ".join(inputs)] if inputs else facts


@lru_cache(maxsize=4)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


@lru_cache(maxsize=1024)
def _has_glyph(char: str) -> bool:
    font = _font(_PROMPT_SIZE)
    return char == " " or bytes(font.getmask(char)) != bytes(font.getmask("\uffff"))


def _name_script(char: str) -> str:
    if not char.isalpha():
        return "symbol"
    return unicodedata.name(char, "letter").split(" ")[0].split("-")[0].lower()
