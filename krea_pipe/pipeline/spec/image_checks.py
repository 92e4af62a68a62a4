"""`checks:`: what is measured of each image of a stage, and the limits; see `spec/checks.py` for checks of a file."""

import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from krea_pipe.core.errors import Problem
from krea_pipe.core.excerpts import shown
from krea_pipe.core.json_data import Json, list_in, mapping_in
from krea_pipe.core.measures import COLOUR_SHARE, COMMAND, FAILED, MEASURES, number_text
from krea_pipe.pipeline.model import ImageCheck, Stage
from krea_pipe.pipeline.repo_paths import request_files
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.hints import suggestion
from krea_pipe.pipeline.spec.problems import Problems

_OF_MEASURE = {"colours": COLOUR_SHARE, "within": COLOUR_SHARE, "run": COMMAND, "timeout": COMMAND}
"""The measure that each key belongs to; the others are of every measure."""
_NEEDED = {COLOUR_SHARE: ("colours", '`colours: ["#ff6600"]`'), COMMAND: ("run", '`run: "./score.py {image}"`')}
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_PLACEHOLDERS = ("image", "prompt")


@dataclass(slots=True, eq=False)
class ImageChecks:
    """The checks that a file defines, and those that its stages use."""

    problems: Problems
    root: Path
    defined: dict[str, ImageCheck] = field(default_factory=dict)
    defaults: tuple[ImageCheck, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Json], problems: Problems, root: Path) -> "ImageChecks":
        """The checks that a file defines by name, and those of its defaults.

        Args:
            data: the file, as far as it follows the schema.
            problems: collects what is wrong with them.
            root: the folder that it must not leave.
        """
        found = cls(problems, root)
        for name, one in mapping_in(data, "checks").items():
            trail: Trail = ("checks", name)
            if "name" in cast("dict[str, Json]", one):
                hint = "remove it: its key is the name"
                problems.add_key("name_taken", "a definition has its name already", (*trail, "name"), hint)
            found.defined[name] = found._check(name, cast("dict[str, Json]", one), trail)
        found.defaults = found._listed(mapping_in(data, "defaults"), ("defaults",))
        return found

    def of_stage(self, data: Mapping[str, Json], trail: Trail) -> tuple[ImageCheck, ...]:
        """The checks of a stage, or those of the defaults if it names none: some by name, others in place.

        Args:
            data: the stage.
            trail: its place in the file.
        """
        return self._listed(data, trail) if "checks" in data else self.defaults

    def _listed(self, data: Mapping[str, Json], trail: Trail) -> tuple[ImageCheck, ...]:
        found: dict[str, ImageCheck] = {}
        for index, item in enumerate(list_in(data, "checks")):
            here: Trail = (*trail, "checks", index)
            check = self._in_place(item, here) if isinstance(item, dict) else self._named(str(item), here)
            if check is not None and check.name in found:
                message = f"the stage has two checks that are named `{check.name}`"
                hint = "remove one of them" if isinstance(item, str) else "give one of them a `name:`"
                self.problems.add("name_taken", message, here, hint)
            elif check is not None:
                found[check.name] = check
        return tuple(found.values())

    def _in_place(self, item: Mapping[str, Json], trail: Trail) -> ImageCheck:
        name = str(item.get("name") or item["measure"])
        if name in self.defined:
            message = f"`{name}` is already the name of a check under `checks:`"
            self.problems.add("name_taken", message, trail, f"use it, `{name}`, or give this one another `name:`")
        return self._check(name, item, trail)

    def _named(self, name: str, trail: Trail) -> ImageCheck | None:
        if name not in self.defined and not self.problems.was_dropped(name):
            hint = f"write {{measure: {name}, min: …}}" if name in MEASURES else suggestion(name, self.defined)
            hint = hint or f"define it: `checks: {{{name}: {{measure: sharpness, min: 40}}}}`"
            self.problems.add("unknown_name", f"`checks:` does not define `{name}`", trail, hint)
        return self.defined.get(name)

    def _check(self, name: str, data: Mapping[str, Json], trail: Trail) -> ImageCheck:
        measure = str(data["measure"])
        if name == FAILED:
            hint = "`-k check:failed` selects the cells that fail any check"
            self.problems.add_key("reserved_name", f"a check cannot be named `{name}`", trail, hint)
        self._check_keys(data, measure, trail)
        low, high = (self._limit(data, key, measure, trail) for key in ("min", "max"))
        if low is not None and high is not None and low > high:
            message = f"`min: {number_text(low)}` is more than `max: {number_text(high)}`"
            self.problems.add("invalid_value", message, (*trail, "min"), "swap the two")
        has_limits = {"min", "max"} & data.keys()
        if data.get("fail") and not has_limits and measure != COMMAND:
            self.problems.add(
                "missing_key", "`fail: true` has no effect without a limit", trail, "add `min:` or `max:`"
            )
        check = ImageCheck(name, measure, trail, low, high, fail=bool(data.get("fail")))
        if measure == COLOUR_SHARE:
            colours = tuple(str(one).lower() for one in list_in(data, "colours"))
            return replace(check, colours=colours, within=float(cast("float", data.get("within", check.within))))
        if measure == COMMAND and "run" in data:
            words, timeout = self._words(str(data["run"]), (*trail, "run")), data.get("timeout", check.timeout)
            folder = self.problems.document.folder((*trail, "run"))
            return replace(check, command=words, folder=folder, timeout=float(cast("float", timeout)))
        return check

    def _check_keys(self, data: Mapping[str, Json], measure: str, trail: Trail) -> None:
        for key, owner in _OF_MEASURE.items():
            if key in data and owner != measure:
                message = f"`{key}` is of the measure {owner}, not of {measure}"
                self.problems.add_key("unknown_key", message, (*trail, key), f"remove it, or write `measure: {owner}`")
        needed, form = _NEEDED.get(measure, ("", ""))
        if needed and needed not in data and not self.problems.was_dropped(needed):
            self.problems.add("missing_key", f"the measure {measure} needs `{needed}`", trail, f"write {form}")

    def _limit(self, data: Mapping[str, Json], key: str, measure: str, trail: Trail) -> float | None:
        value, of = data.get(key), MEASURES[measure]
        if not isinstance(value, (int, float)):
            return None
        is_in = (of.low is None or value >= of.low) and (of.high is None or value <= of.high)
        if not is_in or not math.isfinite(value):
            of_measure = f"{measure} is {of.range}" if of.range else "a limit is a number"
            message = f"`{key}` cannot be {shown(value)}: {of_measure}"
            self.problems.add("out_of_range", message, (*trail, key), f"{measure}: {of.words}")
            return None
        return float(value)

    def _words(self, text: str, trail: Trail) -> tuple[str, ...]:
        """The words of a command, as a shell would split them; no shell is involved."""
        try:
            words = tuple(shlex.split(text))
        except ValueError:
            self.problems.add("invalid_value", f"{shown(text)} has a quote that is never closed", trail)
            return ()
        names = [name for word in words for name in _PLACEHOLDER.findall(word)]
        for name in names:
            if name not in _PLACEHOLDERS:
                hint = "a command gets {image}, the path of the image, and {prompt}"
                self.problems.add("unknown_name", f"a command has no placeholder `{{{name}}}`", trail, hint)
        if "image" not in names and {*names} <= {*_PLACEHOLDERS}:
            hint = f"write where its path goes: `{text.strip()} {{image}}`"
            self.problems.add("missing_key", "the command does not use the image", trail, hint)
        if words and "/" in words[0]:
            self._check_program(words[0], trail)
        return words

    def _check_program(self, word: str, trail: Trail) -> None:
        """Refuse a program of the repository that is not there."""
        try:
            folder = self.problems.document.folder(trail)
            request_files(word, folder)
            file = (folder / word).resolve()
            is_missing = file.is_relative_to(self.root) and not file.is_file()
        except (OSError, ValueError, RuntimeError):
            is_missing = True
        if is_missing:
            hint = "its path is relative to the file that contains it"
            self.problems.add("command_missing", f"there is no program {shown(word)}", trail, hint)


def unused_check_warnings(checks: ImageChecks, stages: Iterable[Stage]) -> Iterator[Problem]:
    """Warn about checks that are defined, and used by no stage.

    Args:
        checks: what the file defines.
        stages: its stages.
    """
    used = {check.trail for stage in stages for check in stage.checks}
    for name, check in checks.defined.items():
        if check.trail not in used and not checks.problems.document.is_used(check.trail):  # other pipelines may use it
            at = checks.problems.document.key_place(check.trail)
            hint = f"use it in a stage: `checks: [{name}]`"
            yield Problem("unused_definition", f"no stage uses `{name}` of `checks:`", at, hint)


def command_files(check: ImageCheck) -> Iterator[tuple[str, Path]]:
    """The files that the words of a command name, each with its word: its script, its model.

    Args:
        check: a check that runs a command.
    """
    for word in check.command:
        with suppress(OSError, ValueError, RuntimeError):
            file = (check.folder / word).resolve()
            if "{" not in word and file.is_file():
                yield word, file
