"""Constructs of files that can be repeated without end, for the cost mode of `fuzzing.py`.

Each makes the files of one size in a folder; `p.yaml` is the pipeline. What is wrong in them is wrong on purpose.
"""

import json

HEAD = "version: 1\nprompt: a lamp\n"
CHAIN = (
    "version: 1\nstages:\n  a: {prompt: '{{ w }}', matrix: {w: [b, c]}}\n  b: {prompt: x, for_each: a, picks: k.yaml}\n"
)
CONSTRUCTS = {}


def construct(make):
    CONSTRUCTS[make.__name__] = make
    return make


def each(form, count, glue=""):
    return glue.join(form.replace("#", str(i)) for i in range(count))


def flow(form, count):
    return each(form, count, ", ")


def simple(name, text):
    """A construct of the pipeline file alone."""
    CONSTRUCTS[name] = lambda count: {"p.yaml": text(count)}


def in_head(name, more):
    simple(name, lambda count: HEAD + more(count))


def in_axis(name, values, prompt="{{ w }}"):
    simple(name, lambda count: f"version: 1\nprompt: '{prompt}'\nmatrix: {{w: {values(count)}}}\n")


def square(count, rules):
    side = min(300, max(2, int(count**0.5)))
    values = flow("v#", side)
    return f"version: 1\nprompt: '{{{{ a }}}} {{{{ b }}}}'\nmatrix: {{a: [{values}], b: [{values}]}}\n{rules}\n"


# Text.
in_head("repeated keys on one line", lambda n: "vars: {" + flow("a: 1", n) + "}\n")
in_head("repeated keys on many lines", lambda n: "vars:\n" + "  a: 1\n" * n)
in_head("tags on one line", lambda n: "vars: {a: [" + flow("!x 1", n) + "]}\n")
in_head("tags on many lines", lambda n: "vars:\n  a:\n" + "  - !x 1\n" * n)
in_head("keys that are no text", lambda n: "vars: {" + flow("#: 1", n) + "}\n")
in_head("numbers that are too large", lambda n: "vars: {a: [" + flow("1e999", n) + "]}\n")
in_head("control characters", lambda n: "vars: {a: [" + flow('"\\0"', n) + "]}\n")
in_head("comments", lambda n: "# a comment\n" * n)
in_head("empty lines", lambda n: "\n" * n + "a: 1\n")
in_head("one long line", lambda n: "vars: {a: '" + "x " * n + "'}\n")
in_head("one long line that is not closed", lambda n: "vars: {a: '" + "x " * n + "'\n")
in_head("one long word", lambda n: "vars: {a: " + "x" * n + "}\n")
in_head("one long key", lambda n: "vars: {? " + "x" * n + " : 1}\n")
in_head("hyphens before a mistake", lambda n: "a: " + "-" * n + ": b: c\n")
in_head("quotes before a mistake", lambda n: "a: b: " + "'a' : " * n + "\n")
in_head("spaces before a mistake", lambda n: "a: b" + " " * n + ": c\n")
in_head("brackets that are not closed", lambda n: "a: " + "[" * n + "\n")
in_head("a deep list", lambda n: "vars: {a: " + "[" * 60 + flow("1", n) + "]" * 60 + "}\n")
in_head("lists in lists that go on", lambda n: "vars: {a: " + "".join("[" + "1," * (n // 60) for _ in range(60)))
in_head("values", lambda n: "vars: {a: [" + flow("w#", n) + "]}\n")
in_head("empty values", lambda n: "vars: {a: [" + "," * 0 + flow("[]", n) + "]}\n")
in_head("small mappings", lambda n: "vars: {a: [" + flow("{a: 1, b: 2}", n) + "]}\n")
in_head("aliases", lambda n: "vars: {a: &a [" + flow("1", 1000) + "], b: [" + flow("*a", n) + "]}\n")
in_head("anchors", lambda n: "vars: {a: [" + flow("&a# 1", n) + "]}\n")


def nested_aliases(count, deep):
    inner = "".join(f"  a{i}: &a{i} {'[' * deep}*a{i - 1}{']' * deep}\n" for i in range(1, min(count, 20_000)))
    return "vars:\n  a0: &a0 [1]\n" + inner


in_head("aliases one in the other", lambda n: nested_aliases(n, 1))
in_head("aliases deep in the other", lambda n: nested_aliases(n, 50))
in_head("texts like secrets", lambda n: "vars: {a: [" + flow("sk-proj-Ab1Cd2Ef3Gh4Ij5Kl#", n) + "]}\n")
in_head("a long text like a secret", lambda n: "vars: {a: '" + "secret token = a1b2 " * n + "'}\n")

# Names.
in_head("unknown keys", lambda n: each("k#: 1\n", n))
in_head("variables", lambda n: "vars: {" + flow("w#: 1", n) + "}\n")
in_head("variables with bad names", lambda n: "vars: {" + flow("w-#: 1", n) + "}\n")
in_head("variables over one another", lambda n: "vars: {a0: x, " + flow("w#: '{{ a0 }} #'", n) + "}\n")
in_head("variables that are not there", lambda n: "vars: {" + flow("w#: '{{ v# }}'", n) + "}\n")
in_head("environment", lambda n: "env: {" + flow("W#: a", n) + "}\n")
in_head("environment that is missing", lambda n: "env: {" + flow("W#: null", n) + "}\n")
in_head("prompts", lambda n: "prompts: {" + flow("p#: a lamp", n) + "}\n")
in_head("profiles", lambda n: "profiles: {" + flow("p#: {vars: {a: 1}}", n) + "}\n")
in_head("looks", lambda n: "looks: {" + flow("l#: {intensity: 1}", n) + "}\n")
in_head(
    "looks that are nearly right",
    lambda n: "looks: {" + flow("look#: {}", n) + "}\nmatrix: {look: [" + flow("lok#", n) + "]}\n",
)
in_head("styles", lambda n: "styles: {" + flow("s#: {id: st_#}", n) + "}\n")
in_head("references", lambda n: "references: {" + flow("s#: {images: 'https://a.b/#.png'}", n) + "}\n")
in_head("references that are missing", lambda n: "references: {" + flow("s#: {images: a#.png}", n) + "}\n")
in_head("images of one reference", lambda n: "references: {a: {images: [" + flow("'https://a.b/#.png'", n) + "]}}\n")
in_head("names of references", lambda n: "references: [" + flow("s#", n) + "]\n")
in_head("shared axes", lambda n: "axes: {" + flow("a#: [1]", n) + "}\n")
simple(
    "undefined names",
    lambda n: (
        "version: 1\nvars: {" + flow("variable#: 1", n) + "}\nprompt: '" + each("{{ varable# }} ", min(n, 1000)) + "'\n"
    ),
)
simple(
    "names in a prompt",
    lambda n: (
        "version: 1\nvars: {" + flow("v#: 1", min(n, 1500)) + "}\nprompt: '" + each("{{ v# }}", min(n, 1500)) + "'\n"
    ),
)

# Stages.
simple("stages", lambda n: "version: 1\nstages: {" + flow("s#: {prompt: x}", n) + "}\n")
simple("stages with nothing", lambda n: "version: 1\nstages: {" + flow("s#: {}", n) + "}\n")
simple(
    "stages that read many variables",
    lambda n: (
        "version: 1\nvars: {"
        + flow("v#: 1", n)
        + "}\nstages: {"
        + flow("s#: {prompt: '{{ v# }}'}", min(n, 500))
        + "}\n"
    ),
)
simple(
    "stages that need each other",
    lambda n: (
        "version: 1\nstages: {"
        + flow("s#: {prompt: x, needs: [" + flow("s@", min(n, 500)).replace("@", "1") + "]}", min(n, 500))
        + "}\n"
    ),
)
simple("unknown stages", lambda n: "version: 1\nstages: {a: {prompt: x, needs: [" + flow("s#", n) + "]}}\n")

# Axes.
in_axis("values of an axis", lambda n: "[" + flow("w#", n) + "]")
in_axis("repeated values of an axis", lambda n: "[" + flow("w", n) + "]")
in_axis("values of an axis that are lists", lambda n: "[" + flow("[1]", n) + "]")
in_axis("values of an axis that are mappings", lambda n: "[" + flow("{a: 1}", n) + "]")
in_axis("rows", lambda n: "[" + flow("{id: w#, text: t}", n) + "]", "{{ w.text }}")
in_axis("rows without a field", lambda n: "[{id: a, b: 1}, " + flow("{id: w#, text: t}", n) + "]", "{{ w.b }}")
in_axis("rows with keys of their own", lambda n: "[" + flow("{id: w#, k#: t}", n) + "]", "{{ w.id }}")
in_axis("a row with many keys", lambda n: "[{id: w, " + flow("k#: t", n) + "}]", "{{ w.id }}")
in_axis("rows with templates", lambda n: "[" + flow("{id: w#, text: '{{ stage }} #'}", n) + "]", "{{ w.text }}")
in_axis("rows that set fields", lambda n: "[" + flow("{id: w#, seed: #}", n) + "]")
in_axis("a count", lambda n: f"{{count: {n}}}")
in_axis("a range", lambda n: f"{{from: 0, to: 1, steps: {n}}}")
in_axis("a zip", lambda n: "{zip: {a: [" + flow("a#", n) + "], b: [" + flow("b#", n) + "]}}", "{{ w.a }}")
in_axis("a zip of many lists", lambda n: "{zip: {" + flow("a#: [1]", n) + "}}", "{{ w.id }}")
simple("axes", lambda n: "version: 1\nprompt: x\nmatrix: {" + flow("a#: [1]", n) + "}\n")
simple(
    "axes of one value",
    lambda n: (
        "version: 1\nprompt: '" + each("{{ a# }}", min(n, 100)) + "'\nmatrix: {" + flow("a#: [1]", min(n, 100)) + "}\n"
    ),
)
simple("fixed axes", lambda n: "version: 1\nprompt: x\nwith: {" + flow("a#: 1", n) + "}\n")
simple("matrices", lambda n: "version: 1\nprompt: '{{ a }}'\nmatrix: [" + flow("{a: [w#]}", n) + "]\n")
simple("seeds that are wrong", lambda n: "version: 1\nprompt: x\nmatrix: {seed: [" + flow("-#", n) + "]}\n")
simple(
    "shared values",
    lambda n: (
        "version: 1\nprompt: '{{ a }}'\naxes: {a: [" + flow("w#", n) + "]}\nmatrix: {a: [" + flow("w#", n) + "]}\n"
    ),
)
simple(
    "stages of shared values",
    lambda n: (
        "version: 1\naxes: {a: ["
        + flow("w#", n)
        + "]}\nstages: {"
        + flow("s#: {prompt: '{{ a }}', matrix: {a: all}, sample: {method: first, n: 1}}", min(n, 200))
        + "}\n"
    ),
)
simple(
    "a sample of pairs",
    lambda n: (
        "version: 1\nprompt: '"
        + each("{{ a# }}", 20)
        + "'\nmatrix: {"
        + flow("a#: [1]", 19)
        + f", a19: {{count: {n}}}}}\nsample: {{method: pairwise}}\n"
    ),
)

# Rules.
simple(
    "exclusions", lambda n: square(n, "exclude: [" + each(", ".join(["{a: v#, allow_unused: true}"]), n, ", ") + "]")
)
simple("exclusions of unknown values", lambda n: square(n, "exclude: [" + flow("{a: u#}", n) + "]"))
simple("exclusions of unknown axes", lambda n: square(n, "exclude: [" + flow("{c#: u}", n) + "]"))
simple("one exclusion of many values", lambda n: square(n, "exclude: [{a: [" + flow("v0", n) + "], b: v1}]"))
simple("conditions", lambda n: square(n, "exclude: [" + flow("{if: \"a == 'u#'\", allow_unused: true}", n) + "]"))
simple("patches", lambda n: square(n, "patch: [" + flow("{when: {a: v1}, set: {seed: #}}", n) + "]"))
simple("included cells", lambda n: square(4, "include: [" + flow("{a: w#, b: w}", n) + "]"))
simple("included cells that are wrong", lambda n: square(4, "include: [" + flow("{a: w#}", n) + "]"))
simple(
    "included cells and patches",
    lambda n: square(
        4,
        "include: ["
        + flow("{a: w#, b: w}", min(n, 2000))
        + "]\npatch: ["
        + flow("{when: {a: v1}, set: {seed: #}}", n)
        + "]",
    ),
)

# Templates.
in_head("a long template", lambda n: "defaults: {seed: '{{ 1" + "+1" * n + " }}'}\n")
simple(
    "a template in many cells",
    lambda n: f"version: 1\nprompt: 'x {{{{ seed }}}} {'y ' * 5000}'\nmatrix: {{seed: {{count: {min(n, 100_000)}}}}}\n",
)
simple(
    "a loop in many cells",
    lambda n: (
        f"version: 1\nvars: {{l: [{flow('a', 1000)}]}}\nprompt: 'x {{{{ seed }}}} {{% for a in l %}}{{{{ a }}}}{{% endfor %}}'\nmatrix: {{seed: {{count: {min(n, 100_000)}}}}}\n"
    ),
)
in_head(
    "variables that double", lambda n: "vars: {a0: '" + "x" * 1000 + "', " + flow("b#: '{{ a0 }}{{ a0 }} #'", n) + "}\n"
)
simple(
    "paths",
    lambda n: f"version: 1\nprompt: x\nout: '{{{{ stage }}}}'\nmatrix: {{seed: {{count: {min(n, 100_000)}}}}}\n",
)

# Patterns.
in_head("parts of a pattern", lambda n: "references: {a: {images: '" + "**/" * n + "*.png'}}\n")
in_head("stars of a pattern", lambda n: "references: {a: {images: '" + "*a" * n + "'}}\n")
in_head("dense patterns", lambda n: "references: {a: {images: [" + flow("'" + "**/*/" * 12 + "*#.png'", n) + "]}}\n")
in_head("patterns", lambda n: "references: {a: {images: [" + flow("'**/*#.png'", n) + "]}}\n")


# Other files.
@construct
def columns(count):
    return {"p.yaml": HEAD + "matrix: {w: {csv: t.csv}}\n", "t.csv": flow("c#", count) + "\n" + flow("#", count) + "\n"}


def table(name, text, kind="csv", prompt="{{ w.a }}"):
    pipeline = f"version: 1\nprompt: '{prompt}'\nmatrix: {{w: {{{kind}: t}}}}\n"
    CONSTRUCTS[name] = lambda count: {"p.yaml": pipeline, "t": text(count)}


table("rows of a table", lambda n: "id,a\n" + each("r#,b\n", n))
table("rows of a table that are short", lambda n: "id,a\n" + each("r#\n", n))
table("repeated rows of a table", lambda n: "id,a\n" + "r,b\n" * n)
table("rows of a table that set what is wrong", lambda n: "id,seed\n" + each("r#,-1\n", n))
table("rows of a table with templates", lambda n: "id,a\n" + each("r#,{{ stage }} #\n", n))
table("a wide table", lambda n: flow("c#", 100) + "\n" + (flow("x", 100) + "\n") * (n // 100), prompt="{{ w.c1 }}")
table("a long cell of a table", lambda n: "id,a\nr," + "x" * n + "\n")
table("a quote that is not closed", lambda n: 'id,a\nr,"' + "x\n" * n)
table("words", lambda n: each("w#\n", n), "words", "{{ w }}")
table("repeated words", lambda n: "w\n" * n, "words", "{{ w }}")
table("words like secrets", lambda n: each("sk-proj-Ab1Cd2Ef3Gh4Ij5Kl#\n", n), "words", "{{ w }}")
table("words that are templates", lambda n: each("{{ stage }} #\n", n), "words", "{{ w }}")


def picks(name, text):
    CONSTRUCTS[name] = lambda count: {"p.yaml": CHAIN, "k.yaml": text(count)}


picks("picks", lambda n: "stage: a\npicks: [" + flow("a/w#", n) + "]\n")
picks("repeated picks", lambda n: "stage: a\npicks: [" + flow("a/b", n) + "]\n")
picks("picks of the wrong kind", lambda n: "stage: a\npicks: [" + flow("1", n) + "]\n")
picks("picks with unknown keys", lambda n: "stage: a\npicks: [" + flow("{id: a/w#, star: 1}", n) + "]\n")
picks("rejected picks", lambda n: "stage: a\npicks: [a/b]\nrejected: [" + flow("a/w#", n) + "]\n")
picks("decisions", lambda n: each("- {pick: a/w#, stars: 3}\n", n))
picks("decisions with keys of other requests", lambda n: each(f"- {{pick: a/w#, key: {'a' * 16}}}\n", n))
picks("decisions that are repeated", lambda n: "- {pick: a/b}\n- {reject: a/b}\n" * n)
picks("decisions of the wrong kind", lambda n: "- a/b\n" * n)
picks("a picks file with unknown keys", lambda n: "stage: a\n" + each("p#: 1\n", n))

LINE = {
    "id": "p/#", "key": "0" * 64, "sha256": "0" * 64, "seed": 1, "variant": "large", "price_usd": "0.1", "job_id": "j"
}  # fmt: skip


def lock(name, text):
    CONSTRUCTS[name] = lambda count: {"p.yaml": HEAD, "p.lock.jsonl": text(count)}


lock("lines of a lock", lambda n: each(json.dumps(LINE) + "\n", n))
lock("lines of one cell of a lock", lambda n: each(json.dumps({**LINE, "id": "p", "job_id": "j#"}) + "\n", n))
lock("lines of a lock that are wrong", lambda n: "{}\n" * n)
lock("marks of conflicts in a lock", lambda n: "<<<<<<<\n" * n)
lock("a long line of a lock", lambda n: "{" + "x" * n + "\n")
lock("a deep line of a lock", lambda n: "[" * n + "\n")


def overlay(name, text):
    CONSTRUCTS[name] = lambda count: {"p.yaml": HEAD, "v.yaml": text(count)}


overlay("variables of a file", lambda n: each("v#: 1\n", n))
overlay("variables of a file with bad names", lambda n: each("v-#: 1\n", n))


def plan_file(name, text):
    CONSTRUCTS[name] = lambda count: {"p.yaml": HEAD, "plan.json": text(count)}


plan_file(
    "a plan file with cells",
    lambda n: json.dumps({"schema": "krea-pipe/plan-file@1", "cells": {f"p/{i}": "0" * 64 for i in range(n)}}),
)
plan_file("a deep plan file", lambda n: "[" * n)


simple(
    "variables in many cells",
    lambda n: (
        "version: 1\nprompt: a lamp\nvars: {"
        + flow("v#: 1", n)
        + f"}}\nmatrix: {{seed: {{count: {min(n, 100_000)}}}}}\n"
    ),
)
simple(
    "variables in cells",
    lambda n: "version: 1\nprompt: '{{ v1 }}'\nvars: {" + flow("v#: 1", n) + "}\nmatrix: {seed: {count: 500}}\n",
)
simple(
    "conditions that are few",
    lambda n: square(min(n, 90_000), "exclude: [" + flow("{if: \"a == 'u#'\", allow_unused: true}", 5) + "]"),
)
