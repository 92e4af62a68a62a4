"""The minimum work of an expansion: render the same templates and hash the same bodies.

`python benchmarks/bare_expansion.py NUMBERS [all]` makes 1,000 times as many requests, as `startup.expand` does. With
`all`, the prompt names every axis.
"""

import hashlib
import itertools
import json
import sys
from typing import Any

import jinja2

PROMPT = "A {{ adjective }} photo of {{ subject.text }} on {{ surface }}, number {{ number }}"
SUBJECTS = [
    {"id": name, "text": f"a {kind} {name}"}
    for name, kind in (("lamp", "glass"), ("jar", "ceramic"), ("vase", "tall"), ("cup", "small"), ("bowl", "wooden"))
]
SURFACES = ["marble", "wet slate", "linen", "oak", "sand"]
ADJECTIVES = ["cinematic", "soft"]
CREATIVITIES = ["raw", "low", "medium", "high"]
SEEDS = 5
PROMPTS = {"": PROMPT, "all": f"{PROMPT}, {{{{ creativity }}}}, take {{{{ seed }}}}"}
OUT = "{{ subject.id }}/{{ surface | slug }}/{{ adjective }}-{{ creativity }}/{{ number }}-{{ seed }}"


def pipeline(numbers: int, axes: str) -> dict[str, Any]:
    """The prompt and the matrix of the pipeline with the same requests."""
    counted = {"number": {"count": numbers}, "seed": {"count": SEEDS}}
    named = {"subject": SUBJECTS, "surface": SURFACES, "adjective": ADJECTIVES, "creativity": CREATIVITIES}
    return {"prompt": PROMPTS[axes], "matrix": {**named, **counted}}


def main() -> None:
    """Run the loop."""
    template = PROMPTS["".join(sys.argv[2:])]
    render = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(template).render
    encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
    numbers, seeds = range(1, int(sys.argv[1]) + 1), range(1, SEEDS + 1)
    axes = itertools.product(SUBJECTS, SURFACES, ADJECTIVES, CREATIVITIES, numbers, seeds)
    for subject, surface, adjective, creativity, number, seed in axes:
        body = {
            "variant": "medium",
            "prompt": render(
                subject=subject,
                surface=surface,
                adjective=adjective,
                number=number,
                creativity=creativity,
                seed=seed,
            ),
            "aspect_ratio": "1:1",
            "resolution": "1K",
            "creativity": creativity,
            "intensity": 0,
            "complexity": 0,
            "movement": 0,
            "seed": seed,
        }
        hashlib.sha256(encode({"key_version": 1, "request": body}).encode()).hexdigest()


if __name__ == "__main__":
    main()
