"""Templates that only insert values, such as `{{ surface }}` or `{{ product.text }}`, rendered without Jinja.

They give what Jinja gives. Whatever Jinja might read or render in another way is left to it, and so is every template
that cannot be rendered, because Jinja's rendering says what is wrong.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from keyword import iskeyword
from typing import Any, TypeAlias

from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.template.compiled import Piece, Template, VariablePath, plain_value, without_controls
from krea_pipe.pipeline.template.limits import MAX_RENDERED, TemplateProblem, as_text, too_long

_Pieces: TypeAlias = tuple[str | VariablePath, ...]

_INSERTED = re.compile(r"\{\{[ \t\n]*([A-Za-z]\w*(?:\.[A-Za-z]\w*)*)[ \t\n]*\}\}", re.ASCII)
_SYNTAX = re.compile(r"\{[{%#]|^\}|\{$|\r")
"""What in the text around the values might belong to an expression, a tag or a comment, or is changed by Jinja."""
_OWN_NAMES = frozenset(("true", "false", "none", "self", "super", "loop", "caller", "varargs", "kwargs"))
"""Names with a meaning of their own in Jinja."""
_MAX_DEPTH = 16


def compile_inserting(text: str, with_jinja: Callable[[], Template]) -> Template | None:
    """Compile a template that only inserts values.

    Args:
        text: the template.
        with_jinja: compiles it with Jinja, which renders it where this module does not.

    Returns:
        The template, or None if it does anything else.
    """
    pieces = inserted_pieces(text)
    if pieces is None:
        return None
    paths = [piece for piece in pieces if not isinstance(piece, str)]
    render = _rendered_value(paths[0]) if len(pieces) == 1 else _rendered_text(pieces)

    def rendered(context: Mapping[str, Any]) -> Json:
        try:
            return render(context)
        except (LookupError, TypeError, ValueError):
            return with_jinja().render(context)

    names = frozenset(path[0] for path in paths)
    return Template(text, names, names, frozenset((path[0], path[1]) for path in paths if len(path) > 1), rendered)


def inserted_paths(text: str) -> list[VariablePath] | None:
    """The names that a template inserts, each with its fields; None if it does anything else."""
    pieces = inserted_pieces(text)
    return None if pieces is None else [piece for piece in pieces if not isinstance(piece, str)]


@lru_cache(maxsize=4096)
def inserted_pieces(text: str) -> _Pieces | None:
    """Texts and the values between them, without empty texts; None if there is anything else."""
    parts = _INSERTED.split(text)
    texts, paths = parts[::2], [tuple(one.split(".")) for one in parts[1::2]]
    if not paths or text.endswith("\n") or any(map(_SYNTAX.search, texts)):
        return None
    if any(len(path) > _MAX_DEPTH or any(map(_has_meaning, path)) for path in paths):
        return None
    pieces = [texts[0], *(piece for pair in zip(paths, texts[1:], strict=True) for piece in pair)]
    return tuple(piece for piece in pieces if piece)


def _has_meaning(name: str) -> bool:
    return iskeyword(name) or name in _OWN_NAMES


def _value_at(context: Mapping[str, Any], path: VariablePath) -> Any:  # noqa: ANN401 (whatever data holds)
    value = context[path[0]]
    for field in path[1:]:
        value = value[field]
    return value


def _rendered_value(path: VariablePath) -> Callable[[Mapping[str, Any]], Json]:
    return lambda context: plain_value(_value_at(context, path))


def _rendered_text(pieces: _Pieces) -> Callable[[Mapping[str, Any]], Json]:
    def rendered(context: Mapping[str, Any]) -> Json:
        texts = [piece if isinstance(piece, str) else _text_of(_value_at(context, piece)) for piece in pieces]
        if sum(map(len, texts)) > MAX_RENDERED:
            raise too_long()
        return without_controls("".join(texts))

    return rendered


def _text_of(value: object) -> str:
    return value if type(value) is str else as_text(value)


def literal(text: str) -> Piece:
    """A text as a piece."""
    return Piece(frozenset(), lambda _: text)


def lookup(path: VariablePath) -> Piece:
    """A name with its fields as a piece."""
    return Piece(frozenset(path[:1]), _text_at(path), path)


def _text_at(path: VariablePath) -> Callable[[Mapping[str, Any]], str]:
    def render(context: Mapping[str, Any]) -> str:
        try:
            return _text_of(_value_at(context, path))
        except (LookupError, TypeError) as error:
            raise TemplateProblem("undefined_variable", f"`{'.'.join(path)}` is not defined") from error

    return render
