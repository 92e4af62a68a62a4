"""Templates that other templates include, by the names under which they do."""

import hashlib
import re
from collections.abc import Iterator, Mapping

_TAG = r"(?s)(\{%[-+]?\s*(?:include|import|from)\s+)(['\"])(.*?)\2"


class TemplateFiles:
    """The texts of template files, by the names under which templates include them; equal if their contents are."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts
        joined = "\0".join(f"{name}\0{text}" for name, text in texts.items())
        self._digest = hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TemplateFiles) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def all_in(self, text: str) -> set[str]:
        """The names of all files that a template includes, or that those include."""
        found, waiting = set[str](), [text]
        while waiting:
            new = {name for name in included_names(waiting.pop()) if name in self.texts} - found
            found |= new
            waiting += [self.texts[name] for name in new]
        return found


NO_FILES = TemplateFiles({})


def included_names(text: str) -> Iterator[str]:
    """The names of the files that a template itself includes or imports."""
    return (found[3] for found in re.finditer(_TAG, text)) if "{%" in text else iter(())


def with_names(text: str, names: Mapping[str, str]) -> str:
    """A template with other names for the files that it includes."""
    return re.sub(_TAG, lambda found: f"{found[1]}{found[2]}{names.get(found[3], found[3])}{found[2]}", text)
