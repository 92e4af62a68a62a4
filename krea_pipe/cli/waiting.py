"""A stage that waits for picks, in words and as JSON."""

from krea_pipe.matrix.cell import Waiting
from krea_pipe.pipeline.pricing import exact, usd


def waiting_words(one: Waiting, *, local: bool) -> str:
    """What a stage waits for, and what it will come to."""
    least, most = one.wants
    wanted = f"{least}" if most == least else f"{least} to {most}" if most else f"at least {least}"
    noun = "pick" if least == 1 and most in (1, None) else "picks"
    have = f"it has {one.found}" if one.found else "there are none yet"
    images = _span(str(one.each * least), str(one.each * most) if most else None)
    images += " image" if images in ("1", "at least 1") else " images"
    low, high = one.usd
    price = "" if local else f", {_span(usd(low), usd(high) if high is not None else None)}"
    return (
        f"`{one.stage}` waits for {wanted} {noun} of `{one.upstream}` in {one.file} ({have}): {images}{price}. "
        f"Pick with `krea-pipe pick`."
    )


def waiting_json(one: Waiting) -> dict[str, object]:
    """The same for programs; `max` is null without a most."""
    low, high = one.usd
    return {
        "stage": one.stage,
        "for_each": one.upstream,
        "file": one.file,
        "picked": one.found,
        "min": one.wants[0],
        "max": one.wants[1],
        "images_per_pick": one.each,
        "usd_min": exact(low),
        "usd_max": None if high is None else exact(high),
    }


def _span(low: str, high: str | None) -> str:
    return low if high == low else f"{low} to {high}" if high is not None else f"at least {low}"
