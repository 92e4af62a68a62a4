"""The minimum work of an expansion: render the same templates and hash the same bodies.

`python benchmarks/bare_expansion.py NUMBERS` makes 1,000 times as many requests, as `startup.expand` does; with
`every` as a second argument, the prompt names every axis.
"""

import hashlib
import itertools
import json
import sys

import jinja2

PROMPT = "A {{ adjective }} photo of {{ subject.text }} on {{ surface }}, number {{ number }}"
OF_EVERY_AXIS = PROMPT + ", {{ creativity }}, take {{ seed }}"
SUBJECTS = [
    {"id": name, "text": f"a {kind} {name}"}
    for name, kind in (("lamp", "glass"), ("jar", "ceramic"), ("vase", "tall"), ("cup", "small"), ("bowl", "wooden"))
]
SURFACES = ["marble", "wet slate", "linen", "oak", "sand"]
ADJECTIVES = ["cinematic", "soft"]
CREATIVITIES = ["raw", "low", "medium", "high"]
SEEDS = 5


def main() -> None:
    """Run the loop."""
    prompt = OF_EVERY_AXIS if sys.argv[2:] == ["every"] else PROMPT
    render = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(prompt).render
    encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
    numbers, seeds = range(1, int(sys.argv[1]) + 1), range(1, SEEDS + 1)
    axes = itertools.product(SUBJECTS, SURFACES, ADJECTIVES, CREATIVITIES, numbers, seeds)
    for values in axes:
        subject, surface, adjective, creativity, number, seed = values
        read = {"subject": subject, "surface": surface, "adjective": adjective, "number": number}
        if prompt is OF_EVERY_AXIS:
            read |= {"creativity": creativity, "seed": seed}
        body = {
            "variant": "medium",
            "prompt": render(read),
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
