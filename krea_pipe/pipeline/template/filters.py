"""The filters and tests of templates, each with a limit to what it may make or read."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import jinja2
from jinja2.filters import make_attrgetter

from krea_pipe.pipeline.template.texts import MAX_DIGITS, MAX_RENDERED, MAX_WORD, TemplateProblem, as_text, slug
from krea_pipe.pipeline.template.work import bounded, counted, weighed

_FILTERS = "abs default first float int last length"
_TEXT_FILTERS = "capitalize lower string title trim upper"
_TESTS = "defined undefined none number string true false sequence mapping"
_COMPARISONS = "in eq ne lt le gt ge"

T = TypeVar("T")


def install(env: jinja2.Environment) -> None:
    """Give an environment these filters and tests, and no others."""
    known = env.filters
    tests: Mapping[str, Any] = env.tests
    env.filters = {name: known[name] for name in _FILTERS.split()}
    env.filters |= {name: _on_text(known[name]) for name in _TEXT_FILTERS.split()}
    env.filters |= {"sort": _on_list(known["sort"]), "sum": _on_list(known["sum"]), "round": _rounding(known["round"])}
    env.filters |= {"join": _join, "join_and": _join_and, "choice": _choice, "slug": lambda value: slug(weighed(value))}
    env.filters["replace"] = _replace
    env.tests = {name: tests[name] for name in _TESTS.split()}
    env.tests |= {name: _comparison(tests[name]) for name in _COMPARISONS.split()}
    env.tests |= {name: _on_number(tests[name]) for name in ("even", "odd")}


def finalized(value: object) -> object:
    """A value as the part of a text that it becomes."""
    # Nearly all output is text, and an undefined has to stay one until Jinja raises for it.
    return value if type(value) is str or isinstance(value, jinja2.Undefined) else as_text(value)


def _on_text(text_filter: Callable[..., str]) -> Callable[..., str]:
    def filtered(value: object, *arguments: object) -> str:
        text = weighed(value if type(value) is str else finalized(value))
        return text_filter(text, *map(_plain_argument, arguments)) if arguments else text_filter(text)

    return filtered


def _on_list(list_filter: Callable[..., Any]) -> Callable[..., Any]:
    @jinja2.pass_environment
    def filtered(environment: jinja2.Environment, values: object, *arguments: object, **named: object) -> object:
        for argument in (*arguments, *named.values()):
            _plain_argument(argument)
        return list_filter(environment, weighed(values), *arguments, **named)

    return filtered


def _rounding(round_number: Callable[..., float]) -> Callable[..., float]:
    def rounded(value: float, precision: int = 0, method: str = "common") -> float:
        if not -MAX_DIGITS <= precision <= MAX_DIGITS:
            raise TemplateProblem("template_render", f"round takes at most {MAX_DIGITS} digits", "round")
        return round_number(value, precision, method)

    return rounded


def _on_number(test: Callable[..., Any]) -> Callable[..., Any]:
    # For a text `%` would be formatting, and could ask for a text of any length.
    return lambda value: isinstance(value, (int, float)) and test(value)


def _comparison(test: Callable[..., Any]) -> Callable[..., Any]:
    return lambda value, other: test(weighed(value), weighed(other))


@jinja2.pass_environment
def _join(
    environment: jinja2.Environment, values: Collection[object], d: object = "", attribute: str | int | None = None
) -> str:
    items: Iterable[object] = counted(values)
    if attribute is not None:
        items = map(make_attrgetter(environment, _plain_argument(attribute)), items)
    return bounded([item if type(item) is str else as_text(item) for item in items], as_text(d))


def _join_and(values: Sequence[object], word: object = "and") -> str:
    items = [as_text(value) for value in ([values] if isinstance(values, str) else counted(values))]
    return bounded([one for one in (bounded(items[:-1], ", "), *items[-1:]) if one], f" {as_text(word)} ")


def _choice(values: Sequence[object], seed: object = 1) -> object:
    if not values:
        raise TemplateProblem("template_render", "choice needs at least one value", "choice")
    number = int.from_bytes(hashlib.sha256(repr(weighed(seed)).encode()).digest()[:8], "big")
    return values[number % len(values)]


def _replace(value: object, old: object, new: object) -> str:
    text, target, instead = weighed(as_text(value)), as_text(old), as_text(new)
    if not target or text.count(target) * len(instead) > MAX_RENDERED:
        raise TemplateProblem("template_too_large", "replace would make a very long text", "replace")
    return text.replace(target, instead)


def _plain_argument(value: T) -> T:
    if isinstance(value, (list, tuple, dict)) or (isinstance(value, str) and len(value) > MAX_WORD):
        message = f"a filter takes numbers, and texts of up to {MAX_WORD} characters, in its brackets"
        raise TemplateProblem("template_too_large", message)
    return value
