"""Finds wording that a native technical writer would not use, in docstrings, comments, messages, help and docs.

    python tests/prose_lint.py [PATH ...]

prints `file:line: the wording: what to write` for each finding, and their number at the end. The exit code is 1 if
there are more than MOST, which must not grow.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST = 0
"""The maximum number of findings."""
PATHS = ("krea_pipe", "benchmarks", "docs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "action.yml", ".github")
RULES: tuple[tuple[str, str], ...] = (
    (r"\bcan not\b", "write `cannot`"),
    (r"\banew\b", "write `again`"),
    (r"[,;] for (?:it|they|nobody|nothing|there|what|whoever|krea-pipe|Krea)\b", "write `because`"),
    (r"\b(?:is|are|was|were) none\b", "write `is not a …`"),
    (r"\bin vain\b", "write `useless`, or what happens"),
    (r"\berrands?\b", "write `call` or `command`"),
    (r"\b(?:hence|thither|whither|thereof|therein|wherein|whereby|lest|shall|albeit|whilst)\b", "write a plain word"),
    (r"(?:^|[.:;] )Who (?!can |is this )[a-z]+s?\b[^?]*$", "name who does it: `a caller that …`"),
    (r"[,;] who (?:waits|wants|asks|comes|looks|has|reads) ", "name who does it"),
    (r"\bat most so many\b|\bso many at once\b", "name the number"),
    (r"\b(?:is|are|was|were) (?:not )?so\b(?! that| \w+ that| that)(?=[.,;:)]|$)", "name what is true"),
    (r"\bmay not\b", "write `must not` or `might not`"),
    (r"\bof (?:ours|theirs|its own kind)\b", "write `our …`, `their …`"),
    (r"\b(?:knows|wants|likes|believes|thinks|forgives) nothing\b", "say what happens, without a person"),
    (r"\b[Nn]ot? (?:one|a single) \w+ (?:of \w+ )?is there\b", "write `there is no …`"),
    (r"\bas (?:long|far) as (?:that|it) goes\b", "name the limit"),
    (r"\bby (?:the )?(?:name|way) of which\b", "write a short sentence"),
    (r"\bdo(?:es)? not let in\b|\blet in\b", "write `accept` or `admit`"),
    (r"\b(?:purse|vigil|turnstile|scribe|reins|roll call|desk|parlour|manner of)\b", "write the standard term"),
    (r"\bit (?:is|was) (?:that|there) (?:where|which)\b", "write a short sentence"),
    (
        r"\b(?:it|they|that) (?:is|are|was|were) to be (?:\w+ed|sent|kept|made|told|read)\b",
        "write `must be …` or `will be …`",
    ),
    (r"\bhow (?:it|they|a request|a job|requests|jobs) stands?\b", "write `the state of …`"),
    (r"\b(?:stands|stand) in the way\b", "write `already exists`"),
    (r"\bgo(?:es)? on\b(?= [a-z]|[.,;])", "write `continue`"),
    (r"\b(?:bring|brings|brought) in\b", "write `collect`"),
    (r"\bis no [a-z]+ of\b", "write `is not a … of`"),
    (r"\bstands? (?:in|under|above|below|beside|at)\b", "write `is in`, `is under`"),
    (r"\bbelongs? into\b", "write `belongs in`"),
    (r"\b(?:is|are) known by (?:its|their|the)\b", "write `is identified by`"),
    (r"\bwhat (?:was|is) drawn\b|\bwhat (?:waits|runs)\b", "name the images or the jobs"),
    (r"\bat the begin\b", "write `at the start`"),
    (r"\b[Ww]hat (?:becomes|became) of\b", "write `the outcome of`, `what to do with`"),
    (r"\bsomeone's work\b", "write `a changed file`"),
    (r"\btold (?:of|in words)\b", "write `receives`, `is called with`"),
    (r"\bin line (?:\{|\d)", "write `on line`"),
    (r"\bbelongs to --", "write `requires --`"),
    (r"\b(?:is|are|was|were) looked (?:at|for)\b", "write `is examined`, `is searched for`"),
    (r"\bas it (?:stands|came|comes)\b", "write `unchanged` or `as received`"),
    (r"\ball the same\b", "write `nevertheless` or `still`"),
    (
        r"\b(?:is|are|was|were) to be (?:told|kept|sent|read|made|written|noted|put|found)\b",
        "write `must be …` or `will be …`",
    ),
)
COMPILED = tuple((re.compile(pattern), advice) for pattern, advice in RULES)
FENCE = re.compile(r"^\s*```")


def findings(paths: tuple[Path, ...]) -> Iterator[str]:
    """Each finding as a line; paths are files or folders."""
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in (".py", ".md", ".yml"):
                for number, text in _texts(file):
                    for pattern, advice in COMPILED:
                        for found in pattern.finditer(text):
                            yield f"{file.relative_to(ROOT)}:{number}: `{found[0].strip()}`: {advice}"


def _texts(file: Path) -> Iterator[tuple[int, str]]:
    """The prose of a file, by line, without code and examples."""
    source = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        yield from _texts_of_python(source)
        return
    is_code = False
    for number, line in enumerate(source.splitlines(), 1):
        is_fence = bool(FENCE.match(line))
        is_code ^= is_fence
        if not is_code and not is_fence:
            yield number, re.sub(r"`[^`]*`", "`…`", line)


def _texts_of_python(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count(" ") >= 2:
            for offset, line in enumerate(node.value.splitlines()):
                yield node.lineno + offset, line
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith(("# noqa", "# type", "# fmt")):
            yield token.start[0], token.string


def main(words: list[str]) -> int:
    """Print the findings; 1 if there are too many."""
    paths = tuple(Path(word).resolve() for word in words) or tuple(ROOT / path for path in PATHS)
    lines = list(findings(paths))
    print("".join(f"{line}\n" for line in lines), end="")
    print(f"{len(lines)} findings, at most {MOST}")
    return 1 if len(lines) > MOST else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
