"""What `graph` and `schema` print: a tree for people, and text that Mermaid, Graphviz and editors can read."""

import json
import re
import shutil
import subprocess
from collections import Counter
from decimal import Decimal

import pytest

from krea_pipe.pipeline.spec.schema import schema_text

FILE = """version: 1
name: end
stages:
  end: {prompt: a, matrix: {seed: {count: 4}}}
  graph: {prompt: b, needs: end}
  a.b-c_d:
    for_each: end
    picks: {file: picks.yaml, min: 2, max: 5}
    prompt: "{{ source.prompt }}"
    matrix: {variant: [medium, large]}
  subgraph: {for_each: end, promote: {variant: large}, needs: [graph]}
  click: {for_each: subgraph, promote: {variant: medium-turbo}}
  style: {prompt: c, needs: [graph, end]}
"""
WAITING = """end                4 images           $0.12
├─ graph            1 image           $0.03  needs end
│  └─ style         1 image           $0.03  needs graph, end
├─ a.b-c_d   4 to 10 images  $0.18 to $0.45  for 0 of 2 to 5 picks
└─ subgraph        4 images           $0.24  promotes each image; needs graph
   └─ click        4 images           $0.06  promotes each image

14 images for $0.48 and the stages that wait for picks

`a.b-c_d` waits for 2 to 5 picks of `end` in picks.yaml (none so far): 4 to 10 images, $0.18 to $0.45. Pick \
with `krea-pipe pick`.
"""
PICKS = "stage: end\npicks: [end/s1, end/s3]\n"

NODE = re.compile(r'  (s\d+)\["([^"\n]+)<br/>([^"\n]+)"\]')
ARROW = re.compile(r'  (s\d+) (-->|-\.->)\|"([^"\n]+)"\| (s\d+)')


def drawn(project, form, text=FILE):
    project.write("p.yaml", text)
    done = project.run("graph", "p.yaml", "--format", form, env={"KREA_API_KEY": None})
    assert done.code == 0, done.text
    return done.out


def test_the_tree_shows_images_prices_and_what_is_waited_for(project):
    assert drawn(project, "text") == WAITING
    assert project.run("graph", "p.yaml").out == WAITING


def test_picks_turn_what_waits_into_images(project):
    project.write("picks.yaml", PICKS)
    out = drawn(project, "text")
    assert re.search(r"├─ a\.b-c_d +4 images +\$0\.06  for 2 picks\n", out)
    assert out.endswith("\n\n18 images for $0.48\n")
    assert "waits" not in out


def test_a_stage_behind_one_that_waits_has_no_images_yet(project):
    out = drawn(project, "text", FILE + "  late: {for_each: a.b-c_d, promote: {variant: medium}}\n")
    assert re.search(r"└─ late +none yet +promotes each image\n", out)
    assert '["late<br/>none yet"]' in drawn(project, "mermaid", project.path.joinpath("p.yaml").read_text())


def test_a_stage_alone_is_one_line(project):
    assert drawn(project, "text", "version: 1\nname: p\nprompt: a\n") == "p  1 image  $0.03\n"


def test_images_and_prices_are_those_of_a_plan(project):
    project.write("picks.yaml", PICKS)
    project.write("p.yaml", FILE + "  twin: {prompt: a, matrix: {seed: {count: 2}}}\n")
    plan, graph = project.run("plan", "p.yaml", "--json").json, project.run("graph", "p.yaml").out
    images = Counter(cell["stage"] for cell in plan["cells"])
    wanted = {one["name"]: (images[one["name"]], Decimal(one["new"]["usd"])) for one in plan["stages"]}
    found = re.findall(r"(\S+) +(\d+) images? +\$(\S+)", graph)
    assert {name: (int(count), Decimal(usd)) for name, count, usd in found} == wanted
    assert wanted["twin"] == (2, 0)


def test_a_chain_may_be_long(project):
    stages = "".join(f"  s{i}: {{for_each: s{i - 1}, promote: {{seed: {i}}}}}\n" for i in range(1, 60))
    out = drawn(project, "text", f"version: 1\nname: p\nstages:\n  s0: {{prompt: a}}\n{stages}")
    assert out.splitlines()[59].startswith(f"{'   ' * 58}└─ s59")


def test_mermaid_is_what_its_grammar_allows(project):
    first, *lines = drawn(project, "mermaid").splitlines()
    assert first == "flowchart LR"
    nodes = {found[1]: found[2] for line in lines if (found := NODE.fullmatch(line))}
    arrows = [found.groups() for line in lines if (found := ARROW.fullmatch(line))]
    assert len(nodes) + len(arrows) == len(lines)
    assert list(nodes.values()) == ["end", "graph", "a.b-c#95;d", "subgraph", "click", "style"]
    assert ("s0", "-->", "for 0 of 2 to 5 picks", "s2") in arrows
    assert ("s1", "-.->", "needs", "s3") in arrows
    assert {end for _, _, _, end in arrows} | {start for start, *_ in arrows} <= nodes.keys()


@pytest.mark.parametrize("form", ["mermaid", "dot"])
def test_every_edge_is_drawn_once(project, form):
    arrows = [line for line in drawn(project, form).splitlines() if re.search(r"-->|-\.->| -> ", line)]
    assert len(arrows) == len(set(arrows)) == 7


def test_dot_is_what_graphviz_reads(project):
    text = drawn(project, "dot")
    quoted = r'"(?:[^"\\\n]|\\.)*"'
    line = rf"  {quoted}(?: -> {quoted})? \[label={quoted}(?:, style=dashed)?\];"
    head, *body, tail = text.splitlines()
    assert (head, tail) == ('digraph "end" {', "}")
    assert [one for one in body if not re.fullmatch(rf"{line}|  rankdir=LR;|  node \[shape=box\];", one)] == []
    assert r'  "a.b-c_d" [label="a.b-c_d\n4 to 10 images, $0.18 to $0.45"];' in body


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_draws_it(project):
    done = subprocess.run(["dot", "-Tplain"], input=drawn(project, "dot"), capture_output=True, text=True, check=True)
    kinds = [line.split()[0] for line in done.stdout.splitlines()]
    assert (kinds.count("node"), kinds.count("edge"), done.stderr) == (6, 7, "")


def test_what_stands_over_the_file_is_in_the_graph(project):
    project.write("p.yaml", "version: 1\nname: p\nprompt: a\nmatrix: {seed: [1, 2]}\n")
    assert project.run("graph", "p.yaml", "--set", "variant=large").out == "p  2 images  $0.12\n"


def test_a_file_with_a_circle_is_refused(project):
    project.write("p.yaml", "version: 1\nstages:\n  a: {prompt: x, needs: b}\n  b: {prompt: y, needs: a}\n")
    assert project.run("graph", "p.yaml").code == 2


@pytest.mark.parametrize(("which", "name"), [("pipeline", "pipeline"), ("run-report", "run-report")])
def test_a_schema_is_printed_as_it_is(project, which, name):
    done = project.run("schema", "--which", which, env={"KREA_API_KEY": None})
    assert (done.code, done.err) == (0, "")
    assert done.out == schema_text(f"{name}.schema.json")
    assert json.loads(done.out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_schema_of_pipelines_is_the_one_that_is_printed_unasked(project):
    assert project.run("schema").out == schema_text("pipeline.schema.json")
