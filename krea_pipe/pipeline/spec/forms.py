"""How each part of a file is written, for hints, and which part a trail leads to."""

from krea_pipe.pipeline.source import Trail

_FORMS = {
    "vars": "write names and values: `brand: Aurelle`",
    "env": "write names and defaults: `SEASON: autumn`",
    "prompts": "write names and texts: `hero: a glass lamp`",
    "budget": "write {usd: 12.00, images: 300}, or one of the two",
    "defaults": "write request fields: `variant: large`",
    "references": "write names and images: `brand: {images: refs/*.jpg, strength: 0.5}`",
    "moodboards": "write names and ids: `autumn: {id: 3f0c9c1e-8f1b-4f0e-9f5d-2b7a1c6d4e90}`",
    "styles": "write names and ids: `house: {id: st_8Qd1}`",
    "looks": "write names and request fields: `brand: {references: [brand]}`",
    "axes": "write names and values: `light: [dawn, noon]`",
    "profiles": "write names and changes: `draft: {defaults: {variant: medium-turbo}}`",
    "stages": "write names of stages, each with a `prompt:` below it",
    "matrix": "write axes and their values: `surface: [a marble table, wet slate]`",
    "with": "write axes or fields, each with one value: `with: {product: serum, seed: 41}`",
    "prompt": "write what to draw: `prompt: a glass lamp on wet slate`",
    "out": "write a path: `out: '{{ stage }}/{{ surface }}'`, or remove it",
    "exclude": "write rules: `- {surface: slate, light: dawn}`",
    "include": "write cells: `- {surface: slate, light: dawn}`",
    "patch": "write rules: `- {when: {surface: slate}, set: {creativity: low}}`",
    "when": "write which cells: `when: {surface: slate}`",
    "set": "write request fields: `set: {creativity: low}`",
    "promote": "write what changes: `promote: {variant: large}`",
    "sample": "write {method: pairwise}, or {method: random, n: 12}",
    "method": "write pairwise, random or first",
    "n": "`n` is the most cells to draw: `n: 12`",
    "takes": "write how many images of each cell: `takes: 3`",
    "for_each": "write the name of a stage: `for_each: explore`",
    "needs": "write the names of stages: `needs: [explore]`",
    "picks": "write a file: `picks: picks/explore.yaml`",
    "file": "write a file: `file: picks/explore.yaml`",
    "zip": "write lists of one length: {zip: {shape: [wide, tall], crop: [left, centre]}}",
    "glob": "write a pattern of files: {glob: refs/*.jpg}",
    "csv": "write a file: {csv: subjects.csv}",
    "words": "write a file: {words: lenses.txt}",
}


def form_of(trail: Trail) -> str | None:
    """How the value at a trail is written, if that can be said in a line."""
    axis = axis_at(trail)
    if axis and not axis[1]:
        return f"write values: `{axis[0]}: [ … ]`, or remove the axis"
    last = next((step for step in reversed(trail) if isinstance(step, str)), None)
    return _FORMS.get(str(last))


def form_of_key(key: str) -> str | None:
    """How a part of a file is written, by its key."""
    return _FORMS.get(key)


def axis_at(trail: Trail) -> tuple[str, Trail] | None:
    """The axis that a trail leads into, under `axes:` or in a matrix or one of several, and the rest of the trail."""
    if len(trail) > 1 and trail[0] == "axes":
        return str(trail[1]), trail[2:]
    own = trail[2:] if trail[:1] == ("stages",) else trail
    if own[:1] != ("matrix",):
        return None
    rest = own[2:] if len(own) > 1 and isinstance(own[1], int) else own[1:]
    return (str(rest[0]), rest[1:]) if rest else None
