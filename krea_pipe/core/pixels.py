"""How large Krea 2 draws: the pixels of each aspect ratio at 1K, from its user guide; 3:4 is 4:3 turned."""

from krea_pipe.core.request import Request

SIZES = {
    "1:1": (1024, 1024),
    "4:3": (1184, 896),
    "3:2": (1248, 832),
    "16:9": (1376, 768),
    "2.35:1": (1568, 672),
    "4:5": (928, 1152),
    "3:4": (896, 1184),
    "2:3": (832, 1248),
    "9:16": (768, 1376),
}


def size_of(request: Request) -> tuple[int, int] | None:
    """Width and height of the image that a request asks for, if they are known."""
    return SIZES.get(request.aspect_ratio) if request.resolution == "1K" else None
