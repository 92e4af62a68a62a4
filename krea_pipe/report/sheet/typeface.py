"""Typefaces: Inter for Latin, Greek and Cyrillic on every machine, and a font of the system for what it lacks."""

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from PIL import ImageFont

_INTER = Path(__file__).parent / "fonts"
REGULAR, STRONG = _INTER / "Inter-Regular.ttf", _INTER / "Inter-SemiBold.ttf"

FOLDERS = (
    "~/.local/share/fonts",
    "~/.fonts",
    "/usr/local/share/fonts",
    "/usr/share/fonts",
    "~/Library/Fonts",
    "/Library/Fonts",
    "/System/Library/Fonts",
    "C:/Windows/Fonts",
)
# The fonts that the systems bring for other scripts, the widest first; any other Noto Sans comes after them.
_WIDE = (
    *("NotoSansCJK-Regular", "NotoSansCJKjp-Regular", "NotoSansJP-Regular", "SourceHanSans-Regular"),
    *("DroidSansFallbackFull", "wqy-microhei", "wqy-zenhei", "ipaexg", "ipag", "HiraginoSans-W3", "YuGothR"),
    *("msgothic", "msyh", "malgun", "AppleSDGothicNeo", "PingFang", "NotoSans-Regular", "DejaVuSans", "FreeSans"),
    *("Arial Unicode", "arialuni", "segoeui", "seguisym", "LiberationSans-Regular"),
)
_SUFFIXES = (".ttf", ".ttc", ".otf")
_MOST_FONTS = 100

_NOBODYS = "\U0010ffff"
_IDEAL = 1000
_TEST = 16
_BREAKS_AFTER = " /-_,;:·…"
_WIDE_FONTS = re.compile(r"[\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


def plain(text: str) -> str:
    """A text on one line, without what cannot be drawn."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    kept = ("\ufffd" if unicodedata.category(one) == "Cs" else one for one in composed)
    return "".join(one for one in kept if one == "\u200d" or unicodedata.category(one) not in ("Cc", "Cn", "Co", "Cf"))


class FontSet:
    """Measures and breaks lines. Widths hold for pixels and for print alike: the larger of the two counts."""

    def __init__(self, folders: Sequence[str] = FOLDERS) -> None:
        self._folders = folders
        self._fonts: dict[tuple[Path, int], ImageFont.FreeTypeFont] = {}
        self._faces: dict[tuple[str, bool], Path] = {}
        self._system: list[Path] | None = None
        self._advances: dict[tuple[str, int, bool], float] = {}

    def font(self, face: Path, size: int) -> ImageFont.FreeTypeFont:
        """A face at a size, for drawing."""
        if (face, size) not in self._fonts:
            # Without Raqm, which not every Pillow has, the same text is as wide on every machine; scripts that run from
            # right to left need it, and are in fonts that not every machine has.
            engine = ImageFont.Layout.BASIC if face in (REGULAR, STRONG) else None
            self._fonts[face, size] = ImageFont.truetype(str(face), size, layout_engine=engine)
        return self._fonts[face, size]

    def runs(self, text: str, *, strong: bool) -> list[tuple[Path, str]]:
        """A text in pieces, each with the face that has its letters."""
        found: list[tuple[Path, str]] = []
        for char in text:
            face = self._face(char, strong)
            if found and (found[-1][0] == face or _joins(char)):
                found[-1] = (found[-1][0], found[-1][1] + char)
            else:
                found.append((face, char))
        return found

    def width(self, text: str, size: int, *, strong: bool = False) -> float:
        """The maximum width of a line in pixels."""
        return sum(self._advance(char, size, strong) for char in text)

    def wrapped(self, text: str, width: int, size: int, *, strong: bool = False, most: int = 3) -> tuple[str, ...]:
        """A text as lines that fit a width, up to a number of lines; cut text ends in an ellipsis."""
        lines: list[str] = []
        rest = plain(text)
        while rest and len(lines) < most:
            end = self._end_of_line(rest, width, size, strong)
            lines.append(rest[:end].rstrip())
            rest = rest[end:].lstrip()
        if rest and lines:
            lines[-1] = self._cut(lines[-1], width, size, strong)
        return tuple(line for line in lines if line)

    def _end_of_line(self, text: str, width: int, size: int, strong: bool) -> int:
        used, last = 0.0, 0
        for at, char in enumerate(text):
            if at and not _joins(char) and (text[at - 1] in _BREAKS_AFTER or _is_wide(text[at - 1]) or _is_wide(char)):
                last = at
            used += 0 if char == " " else self._advance(char, size, strong)
            if used > width and at:
                return last or _start_of_cluster(text, at)
            used += self._advance(char, size, strong) if char == " " else 0
        return len(text)

    def _cut(self, line: str, width: int, size: int, strong: bool) -> str:
        while line and self.width(f"{line}…", size, strong=strong) > width:
            line = line[: _start_of_cluster(line, len(line) - 1)] if len(line) > 1 else ""
        return f"{line.rstrip()}…"

    def _advance(self, char: str, size: int, strong: bool) -> float:
        key = (char, size, strong)
        if key not in self._advances:
            face = self._face(char, strong)
            ideal = self.font(face, _IDEAL).getlength(char) * size / _IDEAL
            self._advances[key] = max(ideal, self.font(face, size).getlength(char))
        return self._advances[key]

    def _face(self, char: str, strong: bool) -> Path:
        if (char, strong) not in self._faces:
            own = STRONG if strong else REGULAR
            self._faces[char, strong] = own if self._has(own, char) else self._found(char) or own
        return self._faces[char, strong]

    def _found(self, char: str) -> Path | None:
        if self._system is None:
            self._system = _system_fonts(self._folders)
        for face in list(self._system):
            try:
                if self._has(face, char):
                    return face
            except OSError:  # not a font that can be read
                self._system.remove(face)
        return None

    def _has(self, face: Path, char: str) -> bool:
        """Whether a typeface has a letter: it draws a missing letter like one that no typeface has."""
        if char.isspace() or _joins(char):
            return True
        font = self.font(face, _TEST)
        mask, nobodys = font.getmask(char), font.getmask(_NOBODYS)
        return mask.size != nobodys.size or bytes(mask) != bytes(nobodys)


def _joins(char: str) -> bool:
    """Whether a character belongs to the one before it."""
    return char == "\u200d" or unicodedata.category(char) in ("Mn", "Me", "Mc")


def _is_wide(char: str) -> bool:
    return bool(_WIDE_FONTS.match(char))


def _start_of_cluster(text: str, at: int) -> int:
    """The first place at or before `at` where a line may break inside a word, but never none of it."""
    start = at
    while start > 0 and _joins(text[start]):
        start -= 1
    return start or at


def _system_fonts(folders: Sequence[str]) -> list[Path]:
    walks = (os.walk(Path(folder).expanduser()) for folder in folders)
    found = (Path(where, name) for walk in walks for where, _, names in walk for name in names)
    files = {path.stem: path for path in found if path.name.lower().endswith(_SUFFIXES)}
    wanted = [name for name in _WIDE if name in files]
    others = sorted(name for name in files if re.fullmatch(r"Noto(Sans|Naskh|Serif)\w*-Regular", name))
    return [files[name] for name in dict.fromkeys([*wanted, *others])][:_MOST_FONTS]
