"""The properties of an input image that a proof uses: size, dominant colours and a thumbnail."""

import base64
import binascii
import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from PIL import Image, ImageCms, ImageOps

SUFFIXES = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/heic": "heic"}
THUMB = 64
_FORMATS = ("JPEG", "PNG", "WEBP")
_COLOURS = 8
_MAX_SCANS = 100
_SCAN = b"\xff\xda"  # begins each scan of a JPEG; libjpeg passes over all pixels for each
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning)

Swatch = tuple[tuple[int, int, int], float]
"""An sRGB colour and its share of the picture, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An input image: dominant colours, and the pixels of a square thumbnail when they are known."""

    swatches: tuple[Swatch, ...]
    thumb: bytes | None = None
    size: tuple[int, int] | None = None

    @property
    def thumbnail(self) -> Image.Image | None:
        """A square RGB image of `THUMB` pixels a side."""
        return None if self.thumb is None else Image.frombytes("RGB", (THUMB, THUMB), self.thumb)


def sniff_media_type(data: bytes) -> str | None:
    """The media type by magic bytes, for the four image formats that Krea takes."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return "image/heic"
    return None


def read_picture(data: bytes) -> Picture | None:
    """The picture in a file, or None when it cannot be read; a HEIC file gets colours from its digest."""
    media_type = sniff_media_type(data)
    if media_type == "image/heic":
        # Pillow has no HEIC reader.
        return imagine_picture(hashlib.sha256(data).hexdigest())
    if media_type is None or (media_type == "image/jpeg" and data.count(_SCAN) > _MAX_SCANS):
        return None
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return _look_at(image)
    except _UNREADABLE:
        return None


def read_data_uri(uri: str) -> Picture | None:
    """The picture in a `data:` URI, or None when it holds none."""
    head, _, payload = uri.partition(",")
    try:
        raw = unquote_to_bytes(payload)
        return read_picture(base64.b64decode(raw, validate=True) if head.endswith(";base64") else raw)
    except (binascii.Error, UnicodeEncodeError):
        return None


def imagine_picture(name: str) -> Picture:
    """A picture known by name only: colours that always follow from the name, and no pixels."""
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).digest()
    return Picture(tuple(((digest[i], digest[i + 1], digest[i + 2]), 0.2) for i in range(0, 15, 3)))


def _look_at(image: Image.Image) -> Picture:
    size, profile = image.size, image.info.get("icc_profile")
    image.draft("RGB", (THUMB * 4, THUMB * 4))
    plain = image.point(lambda value: value * (1 / 257)).convert("L") if image.mode.startswith("I") else image
    upright = ImageOps.exif_transpose(plain).convert("RGBA")
    backed = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
    thumb = _in_srgb(ImageOps.fit(backed, (THUMB, THUMB), Image.Resampling.BOX), profile)
    data = thumb.quantize(_COLOURS, Image.Quantize.MEDIANCUT, kmeans=2).convert("RGB").tobytes()
    counts = Counter(zip(data[::3], data[1::3], data[2::3], strict=True)).most_common()
    return Picture(tuple((colour, count / THUMB**2) for colour, count in counts), thumb.tobytes(), size)


def _in_srgb(thumb: Image.Image, profile: object) -> Image.Image:
    """An RGB image converted to sRGB; unchanged without an RGB profile, or with a damaged one."""
    if not isinstance(profile, bytes) or profile[16:20] != b"RGB ":
        return thumb
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(thumb, source, ImageCms.createProfile("sRGB")) or thumb
    except (ImageCms.PyCMSError, OSError, ValueError):
        return thumb
