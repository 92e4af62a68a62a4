"""The pieces that the text of a template is joined from: each is rendered again only when what it reads has changed."""

from functools import lru_cache

from krea_pipe.pipeline.template.compiled import Piece
from krea_pipe.pipeline.template.inserting import inserted_pieces, literal, lookup
from krea_pipe.pipeline.template.template import is_template
from krea_pipe.pipeline.template.template_files import NO_FILES, TemplateFiles


@lru_cache(maxsize=4096)
def pieces_of(text: str, files: TemplateFiles = NO_FILES) -> tuple[Piece, ...]:
    """The pieces of a template, in order; the whole is the only one if it cannot be divided.

    The joined texts, once `checked_text` has accepted them, are what the template renders. A piece that cannot be
    rendered raises a `TemplateProblem` or a `CostlyPieceError`; what is wrong, only rendering the whole says.

    Args:
        text: the template.
        files: the templates that it can include.

    Raises:
        TemplateProblem: it is not a template.
    """
    if not is_template(text):
        return (literal(text),)
    inserted = inserted_pieces(text)
    if inserted is not None:
        return tuple(literal(one) if isinstance(one, str) else lookup(one) for one in inserted)
    from krea_pipe.pipeline.template.jinja_pieces import divide_with_jinja  # noqa: PLC0415 (Jinja, which takes long)

    return divide_with_jinja(text, files)
