"""The panel in the corner of a proof: the prompt, the parameters, and the colours it was painted with."""

import unicodedata
from functools import lru_cache
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont

from krea_pipe.local.colour import Rgb
from krea_pipe.local.palette import Palette
from krea_pipe.local.proof_spec import ProofSpec

_MARGIN, _PAD, _CHIP = 26, 18, 34
_PROMPT_SIZE, _FACT_SIZE = 21, 16
_LINES, _WIDEST, _THUMBS = 3, 470, 4
_LONGEST = 320
_FOLDS = str.maketrans({"–": "-", "—": "-", "‘": "'", "’": "'", "×": "x", "ß": "ss", "æ": "ae", "ø": "o", "→": ">"})

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def write_caption(image: Image.Image, brief: ProofSpec, palette: Palette) -> None:
    """Draw the panel at the lower left."""
    lines = wrap_text(make_printable(brief.order.prompt), _WIDEST)
    facts = _list_facts(brief)
    thumbs = _list_thumbs(brief)
    room = [_font(_PROMPT_SIZE).getlength(line) for line in lines]
    room += [_font(_FACT_SIZE).getlength(fact) for fact in facts]
    width = 2 * _PAD + round(max(*room, 7 * _CHIP + len(thumbs) * (_CHIP + 6) + 90))
    height = 2 * _PAD + 27 * len(lines) + 22 * len(facts) + (_CHIP + 6 if thumbs else _CHIP - 4)
    left, top = _MARGIN, image.height - _MARGIN - height
    _lay_panel(image, (left, top, left + width, top + height), palette)
    pen = ImageDraw.Draw(image)
    strong, quiet = _inks(palette)
    y = top + _PAD - 4
    for line in lines:
        pen.text((left + _PAD, y), line, font=_font(_PROMPT_SIZE), fill=strong)
        y += 27
    y += 4
    for fact in facts:
        pen.text((left + _PAD, y), fact, font=_font(_FACT_SIZE), fill=quiet)
        y += 22
    base = top + height - _PAD
    _lay_chips(image, palette, thumbs, at=(left + _PAD, base), line=quiet)
    pen.text((left + width - _PAD, base - 3), "local proof", font=_font(_FACT_SIZE), fill=quiet, anchor="rs")


def make_printable(text: str) -> str:
    """The text in letters that the bundled font has; a run of other letters becomes the name of its script."""
    words = []
    for word in text[: _LONGEST * 2].split():
        plain = unicodedata.normalize("NFKD", word.translate(_FOLDS))
        words.append("".join(char for char in plain if not unicodedata.combining(char)))
    kept: list[str] = []
    for is_known, run in groupby(" ".join(words), key=_has_glyph):
        letters = "".join(run)
        kept.append(letters if is_known else f"[{_name_script(letters[0])}]")
    return "".join(kept)[:_LONGEST]


def wrap_text(text: str, width: int) -> list[str]:
    """At most three lines of a width in pixels; what does not fit ends in an ellipsis."""
    font = _font(_PROMPT_SIZE)
    lines: list[str] = []
    rest = text or "(empty prompt)"
    while rest and len(lines) < _LINES:
        line = _take_line(rest, font, width)
        lines.append(line.strip())
        rest = rest[len(line) :].lstrip()
    if rest:
        last = lines[-1]
        while last and font.getlength(last + "...") > width:
            last = last[:-1]
        lines[-1] = last.rstrip(" ,") + "..."
    return lines


def _take_line(text: str, font: _Font, width: int) -> str:
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    if low == len(text):
        return text
    space = text.rfind(" ", 1, low + 1)
    return text[: space if space > 0 else low]


def _list_facts(brief: ProofSpec) -> list[str]:
    order = brief.order
    seed = f"seed {order.seed:g}" if order.seed is not None and abs(order.seed) < 1e6 else f"seed {order.seed}"
    seed = f"no seed, take {brief.take}" if order.seed is None else seed
    facts = [f"{order.variant} · {order.aspect_ratio} · creativity {order.creativity} · {seed[:28]}"]
    sliders = {name: getattr(order.sliders, name) for name in ("intensity", "complexity", "movement")}
    if any(sliders.values()):
        facts.append(" · ".join(f"{name} {value:+d}" for name, value in sliders.items() if value))
    inputs = []
    if brief.tints:
        inputs.append(f"ref{'s' * (len(brief.tints) > 1)} " + ", ".join(f"{tint.strength:g}" for tint in brief.tints))
    if order.moodboard:
        inputs.append(f"moodboard {order.moodboard.id[:8]} {order.moodboard.strength:g}")
    inputs += [f"style {make_printable(style.id)[:14]} {style.strength:g}" for style in order.styles[:2]]
    if brief.source:
        inputs.append(f"image {brief.source.strength:g}")
    return [*facts, " · ".join(inputs)] if inputs else facts


def _inks(palette: Palette) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    return ((250, 248, 243), (205, 203, 200)) if palette.is_dark else ((26, 25, 28), (84, 82, 86))


def _lay_panel(image: Image.Image, area: tuple[int, int, int, int], palette: Palette) -> None:
    size = (area[2] - area[0], area[3] - area[1])
    mask = Image.new("L", (size[0] * 2, size[1] * 2))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] * 2 - 1, size[1] * 2 - 1), 20, fill=222)
    ground = palette.ground
    paper = (
        ground.shift(light=0.14 - ground.light, chroma=0.5)
        if palette.is_dark
        else ground.shift(light=0.96 - ground.light, chroma=0.4)
    )
    image.paste(paper.rgb, area, mask.reduce(2))


def _list_thumbs(brief: ProofSpec) -> list[Image.Image]:
    tints = [*brief.tints, *([brief.source] if brief.source else [])]
    thumbs = [thumb for tint in tints if (thumb := tint.picture.thumbnail) is not None]
    return [thumb.resize((_CHIP, _CHIP), Image.Resampling.BOX) for thumb in thumbs[:_THUMBS]]


def _lay_chips(
    image: Image.Image, palette: Palette, thumbs: list[Image.Image], *, at: tuple[int, int], line: Rgb
) -> None:
    """The palette as a strip that stands on `at`, then the references as thumbnails."""
    x, base = at
    pen = ImageDraw.Draw(image)
    for colour in palette:
        pen.rectangle((x, base - 20, x + _CHIP - 1, base - 1), fill=colour.rgb)
        x += _CHIP
    pen.rectangle((at[0], base - 20, x - 1, base - 1), outline=line)
    x += 10
    for thumb in thumbs:
        image.paste(thumb, (x, base - _CHIP))
        x += _CHIP + 6


@lru_cache(maxsize=4)
def _font(size: int) -> _Font:
    return ImageFont.load_default(size=size)


@lru_cache(maxsize=1024)
def _has_glyph(char: str) -> bool:
    font = _font(_PROMPT_SIZE)
    return char == " " or bytes(font.getmask(char)) != bytes(font.getmask("\uffff"))


def _name_script(char: str) -> str:
    if not char.isalpha():
        return "symbol"
    return unicodedata.name(char, "letter").split(" ")[0].split("-")[0].lower()
