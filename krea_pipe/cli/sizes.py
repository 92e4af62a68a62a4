"""Bytes as people read them."""

UNITS = ("kB", "MB", "GB", "TB")


def size(count: float) -> str:
    """A number of bytes: `312 B`, `4.2 MB`."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in UNITS:
        count /= 1000
        if count < 999.5 or unit == UNITS[-1]:
            break
    return f"{count:.1f} {unit}" if count < 99.95 else f"{count:.0f} {unit}"


def counted(count: int, name: str) -> str:
    """A number of things: `1 image`, `3 images`."""
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"
