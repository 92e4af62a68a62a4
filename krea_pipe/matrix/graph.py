"""The stages of a pipeline as a graph, with images and prices: what each waits for, as text, Mermaid or DOT."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell, Waiting
from krea_pipe.pipeline.model import Pipeline, SourceStage, Stage
from krea_pipe.pipeline.pricing import usd

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Vertex:
    """A stage: its images, and the price in US dollars of those that no stage before it pays for."""

    name: str
    images: int
    usd: Decimal
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """Why a stage waits for another: it runs `for_each` of its images, or `needs` them first."""

    start: str
    end: str
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Every stage in the order of the file, and what leads from one to another."""

    name: str
    vertices: tuple[Vertex, ...]
    edges: tuple[Edge, ...]

    @property
    def images(self) -> int:
        """The images of all stages that do not wait for picks."""
        return sum(one.images for one in self.vertices)

    @property
    def usd(self) -> Decimal:
        """Their price in US dollars if no image exists yet."""
        return sum((one.usd for one in self.vertices), Decimal(0))

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """What the stages without cells wait for."""
        return tuple(one.waiting for one in self.vertices if one.waiting is not None)


def build_graph(pipeline: Pipeline, cells: Iterable[tuple[Cell, Key]], waiting: Sequence[Waiting]) -> Graph:
    """The graph of a pipeline and its cells. A request of several cells counts for the stage of the first."""
    images = {stage.name: 0 for stage in pipeline.stages}
    prices = {stage.name: Decimal(0) for stage in pipeline.stages}
    seen = set[Key]()
    for cell, key in cells:
        images[cell.stage] += 1
        if key not in seen:
            prices[cell.stage] += pipeline.prices.of(cell.request).usd
            seen.add(key)
    waits = {one.stage: one for one in waiting}
    vertices = [Vertex(name, images[name], prices[name], waits.get(name)) for name in images]
    edges = [edge for stage in pipeline.stages for edge in _edges(stage, waits.get(stage.name))]
    return Graph(pipeline.name, tuple(vertices), tuple(edges))


def _edges(stage: Stage, waiting: Waiting | None) -> Iterator[Edge]:
    upstream = stage.upstream
    if upstream is not None:
        yield Edge(upstream.stage, stage.name, "for_each", _chain(upstream, waiting))
    for name in stage.needs:
        yield Edge(name, stage.name, "needs", "needs")


def _chain(upstream: SourceStage, waiting: Waiting | None) -> str:
    """The stage whose images a stage uses, in words."""
    verb = "promotes" if upstream.promotes else "for"
    if waiting is not None:
        return f"{verb} {waiting.found} of {_span(waiting.wants, str)} picks"
    if upstream.file is None:
        return f"{verb} each image"
    return f"{verb} {_count(len(upstream.picks.picks) if upstream.picks else 0, 'pick')}"


def text_lines(graph: Graph) -> Iterator[str]:
    """The stages as a tree: each below the stage whose images it uses, or else the first that it needs."""
    rows = list(_tree(graph))
    width = max(len(start) for start, _ in rows)
    sizes = [max(len(_size(one)) for _, one in rows), max(len(_cost(one)) for _, one in rows)]
    for start, one in rows:
        notes = [edge.label for edge in _into(graph, one) if edge.kind == "for_each"]
        needs = [edge.start for edge in _into(graph, one) if edge.kind == "needs"]
        notes += [f"needs {', '.join(needs)}"] if needs else []
        line = f"{start.ljust(width)}  {_size(one).rjust(sizes[0])}  {_cost(one).rjust(sizes[1])}  {'; '.join(notes)}"
        yield line.rstrip()
    if len(graph.vertices) > 1:
        yield ""
        more = " and the stages that wait for picks" if graph.waiting else ""
        yield f"{_count(graph.images, 'image')} for {usd(graph.usd)}{more}"


def _tree(graph: Graph) -> Iterator[tuple[str, Vertex]]:
    """Each stage behind the branches that lead to it."""
    below: dict[str, list[Vertex]] = {}
    for one in graph.vertices:
        into = _into(graph, one)
        below.setdefault(into[0].start if into else "", []).append(one)

    # Chains may be longer than Python's stack is deep.
    todo = [("", "", one) for one in reversed(below.get("", []))]
    while todo:
        margin, branch, one = todo.pop()
        yield f"{margin}{branch}{one.name}", one
        deeper = margin + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        last = below.get(one.name, [])[-1:]
        todo += [(deeper, "└─ " if [child] == last else "├─ ", child) for child in reversed(below.get(one.name, []))]


def _into(graph: Graph, one: Vertex) -> list[Edge]:
    return [edge for edge in graph.edges if edge.end == one.name]


def mermaid_lines(graph: Graph) -> Iterator[str]:
    """The graph as a Mermaid flowchart. Its nodes are numbered, because names may be words of its grammar."""
    numbers = {one.name: f"s{index}" for index, one in enumerate(graph.vertices)}
    yield "flowchart LR"
    for one in graph.vertices:
        yield f'  {numbers[one.name]}["{_mermaid(one.name)}<br/>{_mermaid(_facts(one))}"]'
    for edge in graph.edges:
        arrow = "-->" if edge.kind == "for_each" else "-.->"
        yield f'  {numbers[edge.start]} {arrow}|"{_mermaid(edge.label)}"| {numbers[edge.end]}'


def dot_lines(graph: Graph) -> Iterator[str]:
    """The graph in Graphviz's language."""
    yield f"digraph {_dot(graph.name)} {{"
    yield "  rankdir=LR;"
    yield "  node [shape=box];"
    for one in graph.vertices:
        yield f"  {_dot(one.name)} [label={_dot(one.name, _facts(one))}];"
    for edge in graph.edges:
        style = "" if edge.kind == "for_each" else ", style=dashed"
        yield f"  {_dot(edge.start)} -> {_dot(edge.end)} [label={_dot(edge.label)}{style}];"
    yield "}"


def _mermaid(text: str) -> str:
    """Text with everything that Mermaid or Markdown may take for more than text as an entity."""
    return re.sub(r"[^\w .,:()$+/-]|_", lambda found: f"#{ord(found[0])};", text)


def _dot(*lines: str) -> str:
    escaped = [line.replace("\\", "\\\\").replace('"', '\\"') for line in lines]
    return '"' + "\\n".join(escaped) + '"'


def _facts(one: Vertex) -> str:
    return ", ".join(filter(None, (_size(one), _cost(one))))


def _size(one: Vertex) -> str:
    waiting = one.waiting
    if waiting is None:
        return _count(one.images, "image") if one.images else "none yet"
    least, most = waiting.wants
    return f"{_span((waiting.each * least, None if most is None else waiting.each * most), str)} images"


def _cost(one: Vertex) -> str:
    if one.waiting is None:
        return usd(one.usd) if one.images else ""
    return _span(one.waiting.usd, usd)


def _span(span: tuple[_T, _T | None], text: Callable[[_T], str]) -> str:
    """The least and the most of something; None is no most."""
    low, high = text(span[0]), None if span[1] is None else text(span[1])
    return f"{low}+" if high is None else low if low == high else f"{low} to {high}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
