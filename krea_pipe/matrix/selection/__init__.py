"""Which cells a command takes: the expressions of `-k`/`--select` and `--exclude`, and `--only-failed`.

    serum                 a whole part of the cell's id, never a piece of one: `s1` does not take `s10`
    serum/dawn            parts that stand in the id in a row; a whole id works too
    *amber*               the same as a glob: * any characters, also /, ? one, [a-c] one of them, [!a-c] any other
    stage:explore         the cell's stage; status:failed its status; stage:explore,ladder is either of them
    product=serum,cream   the value of an axis, as in the id, by its label or as its text; 0.5 is 0.50
    creativity!=raw       the same as `not creativity=raw`, so it also takes cells without that axis

Conditions are joined by `not`, `and`, `or`, which bind in this order, and by ( ). Case counts in axis names only. In
quotes every character stands for itself: label="low, wide". Any `-k` may take a cell, and no `--exclude`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.matrix.selection.expression import Name, Parser, unknown_name
from krea_pipe.matrix.selection.match import Subject as Subject
from krea_pipe.matrix.selection.match import Test, all_of, any_of, negated


@dataclass(frozen=True, slots=True)
class Selection:
    """The cells that options ask for; `parse_selection` makes it."""

    select: tuple[str, ...]
    exclude: tuple[str, ...]
    only_failed: bool
    _names: tuple[Name, ...] = field(repr=False, compare=False)
    _test: Test = field(repr=False, compare=False)

    @property
    def is_all(self) -> bool:
        """Whether nothing was asked, so that every cell is taken."""
        return not (self.select or self.exclude or self.only_failed)

    @property
    def needs_status(self) -> bool:
        """Whether the answer depends on what became of a cell before."""
        return self.only_failed or any(name.what == "status" for name in self._names)

    def takes(self, subject: Subject) -> bool:
        """Whether the cell is selected."""
        return self._test(subject)

    def check_names(self, stages: Collection[str], axes: Collection[str], statuses: Collection[str]) -> None:
        """Refuse names that nothing has, all at once.

        Raises:
            UsageError: `unknown_stage`, `unknown_axis`, `unknown_status`.
        """
        self._check({("stage", ""): stages, ("axis", ""): axes, ("status", ""): statuses})

    def check_values(self, axes: Mapping[str, Iterable[tuple[str, ...]]]) -> None:
        """Refuse values that an axis does not have, given the texts of all its values; axes left out are not checked.

        Raises:
            UsageError: `unknown_value`.
        """
        self._check({("value", name): {text for texts in axes[name] for text in texts} for name in axes})

    def _check(self, known: Mapping[tuple[str, str], Collection[str]]) -> None:
        asked = [(name, known[name.what, name.axis]) for name in self._names if (name.what, name.axis) in known]
        problems = [unknown_name(name, options) for name, options in asked if not any(map(name.fits, options))]
        if problems:
            raise UsageError(*problems)


def parse_selection(select: Sequence[str], exclude: Sequence[str], *, only_failed: bool = False) -> Selection:
    """Read the expressions of the options.

    `only_failed` is `status:failed`. An `uncertain` cell may have been paid, so it is not drawn again by the way.

    Raises:
        UsageError: `bad_selection`, for every expression that cannot be read.
    """
    names: list[Name] = []
    problems: list[Problem] = []
    wanted = _parse_all("--select", select, names, problems)
    unwanted = _parse_all("--exclude", exclude, names, problems)
    if problems:
        raise UsageError(*problems)
    tests = [any_of(wanted)] if select else []
    tests += [negated(any_of(unwanted))] if exclude else []
    tests += [_has_failed] if only_failed else []
    return Selection(tuple(select), tuple(exclude), only_failed, tuple(names), all_of(tests))


def _parse_all(option: str, texts: Sequence[str], names: list[Name], problems: list[Problem]) -> list[Test]:
    tests = []
    for text in texts:
        try:
            tests.append(Parser(option, text, names).parse())
        except UsageError as error:
            problems += error.problems
    return tests


def _has_failed(subject: Subject) -> bool:
    return subject.status == "failed"
