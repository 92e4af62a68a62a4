"""`deliver:`: the recipes of a file, and those that a stage uses."""

from collections.abc import Iterator, Mapping
from typing import cast

from krea_pipe.core.json_data import Json, mapping_in
from krea_pipe.core.recipe import DEFAULT_QUALITY, TRIM_TOLERANCE, Transcoding
from krea_pipe.pipeline.model import Recipe, Value
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.hints import suggestion
from krea_pipe.pipeline.spec.problems import Problems

DELIVER = "deliver"
_SIDES = ("width", "height", "longest")
_CHANGES = (*_SIDES, "enlarge", "quality", "lossless", "background", "trim", "colours")
"""The keys of a recipe that change an image."""


def read_recipes(data: Mapping[str, Json], problems: Problems) -> dict[str, Recipe]:
    """The recipes that a file defines by name.

    Args:
        data: the file, as far as it follows the schema.
        problems: collects settings that contradict each other.
    """
    defined = mapping_in(data, DELIVER)
    return {name: _recipe(name, mapping_in(defined, name), (DELIVER, name), problems) for name in defined}


def used_recipes(
    data: Mapping[str, Json], trail: Trail, recipes: Mapping[str, Recipe], problems: Problems
) -> Iterator[Recipe]:
    """The recipes of a stage, by name or written in place.

    Args:
        data: the stage, as far as it follows the schema.
        trail: its place.
        recipes: what the file defines.
        problems: collects names that nothing defines.
    """
    said, here = data.get(DELIVER), (*trail, DELIVER)
    listed = said if isinstance(said, list) else [] if said is None else [said]
    for index, one in enumerate(listed):
        at: Trail = (*here, index) if isinstance(said, list) else here
        if isinstance(one, dict):
            yield _recipe(str(one["format"]), one, at, problems)
        elif str(one) in recipes:
            yield recipes[str(one)]
        elif one not in problems.dropped:
            hint = suggestion(str(one), recipes) or f"define it: `deliver: {{{one}: {{format: webp}}}}`"
            problems.add("unknown_name", f"`deliver:` does not define `{one}`", at, hint)


def _recipe(name: str, data: Mapping[str, Json], trail: Trail, problems: Problems) -> Recipe:
    for key, message, hint in _contradictions(data):
        problems.add_key("recipe_conflict", message, (*trail, key), hint)
    trim, quality = data.get("trim", False), data.get("quality")
    is_lossy = data["format"] in DEFAULT_QUALITY and not data.get("lossless", False)
    how = Transcoding(
        format=cast("str", data["format"]),  # type: ignore[arg-type]
        width=cast("int | None", data.get("width")),
        height=cast("int | None", data.get("height")),
        longest=cast("int | None", data.get("longest")),
        enlarge=bool(data.get("enlarge", False)),
        quality=cast("int", quality or DEFAULT_QUALITY[str(data["format"])]) if is_lossy else None,
        lossless=bool(data.get("lossless", False)),
        background=_long_form(str(data["background"])) if "background" in data else None,
        trim=(TRIM_TOLERANCE if trim else None) if isinstance(trim, bool) else cast("int", trim),
        colours="srgb" if data.get("colours") == "srgb" else "keep",
    )
    return Recipe(name, how, Value(data["path"], (*trail, "path")) if "path" in data else None, trail)


def _contradictions(data: Mapping[str, Json]) -> Iterator[tuple[str, str, str]]:
    """Settings of a recipe that cannot both hold: the key of one of them, what is wrong, and what to do."""
    form = str(data["format"])
    if form == "original":
        for key in (one for one in _CHANGES if one in data):
            yield key, f"`original` delivers the unchanged file, so `{key}` has no effect", f"remove `{key}`"
        return
    sides = [key for key in _SIDES if key in data]
    for key in sides[1:]:
        message = f"a recipe has `{sides[0]}` or `{key}`, not both: the other side follows"
        yield key, message, "remove one of the two"
    if data.get("enlarge") and not sides:
        yield "enlarge", "`enlarge` needs a size", "set `width`, `height` or `longest`"
    if "quality" in data and (form == "png" or data.get("lossless")):
        what = "PNG is" if form == "png" else "`lossless` files are"
        yield "quality", f"{what} without loss, so `quality` has no effect", "remove `quality`"
    if data.get("lossless") and form != "webp":
        hint = "remove it" if form == "png" else "use `format: webp` or `format: png`"
        said = "PNG is always without loss" if form == "png" else f"{form.upper()} files here always lose something"
        yield "lossless", said, hint


def _long_form(colour: str) -> str:
    """A colour as `#rrggbb` in lower case, which is how one colour has one form."""
    digits = colour.removeprefix("#").lower()
    return "#" + (digits if len(digits) == 6 else "".join(2 * one for one in digits))
