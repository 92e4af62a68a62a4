"""The checks of a run: what is not known of its images is measured, and each image is held against its limits.

A value is stored by the digest of the image and the measure, without the limits: a rerun measures nothing, and other
limits need no new measure. Nothing here is part of a request, and nothing is paid for.
"""

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from krea_pipe.core.json_data import Json
from krea_pipe.core.likeness import distance
from krea_pipe.core.measures import ACCEPTED, COLOUR_SHARE, COMMAND, NEAREST, number_text
from krea_pipe.pipeline.model import ImageCheck
from krea_pipe.planning.lockfile import Lockfile
from krea_pipe.report.checks.commands import INTERRUPTED, CommandRunner, Measured, command_digest, uses_prompt
from krea_pipe.report.checks.near_images import Nearest, Signed, comparison_digest, nearest_of
from krea_pipe.report.model import CheckResult, Report, Row
from krea_pipe.store.known import remember_failed_checks
from krea_pipe.store.space import Space

PixelMeasure: TypeAlias = tuple[str, tuple[str, ...], float]
"""A measure of pixels, with the colours and the difference of `colours`."""
MeasurePixels: TypeAlias = Callable[[bytes, Sequence[PixelMeasure]], list[float] | str]
"""Measures the bytes of an image, or says why that is impossible."""

VALUE_VERSION = 1
"""A part of the names of stored values: raise it when a measure changes."""
_PREFIX = "measured:"
_NEAR = "near:"
_DIGITS = 4
"""Decimals of a measured value, which is compared as it is shown."""
_THREADS = min(8, os.cpu_count() or 1)
_BATCH = 200
"""Images after which their values are stored."""
_LONGEST_WAIT = 1.0
"""Seconds after which the main thread looks whether a signal has come while it began to wait."""
_OF_ROW = ("width", "height")
_APART = (*_OF_ROW, NEAREST, ACCEPTED)
"""Measures that need no pixels."""

_Values: TypeAlias = dict[str, Measured]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What the checks of a run need: those of each stage, the store, and the images that were accepted before the run.

    `measure` measures pixels; `runner` runs commands. `name` is that of the pipeline.
    """

    name: str
    checks: Mapping[str, Sequence[ImageCheck]]
    space: Space
    measure: MeasurePixels
    runner: CommandRunner
    lock: Lockfile | None = None


@dataclass(frozen=True, slots=True)
class CheckedReport:
    """A report with the results of its checks, and whether someone interrupted them."""

    report: Report
    interrupted: bool = False


def check_images(report: Report, options: CheckOptions) -> CheckedReport:
    """Check the images of a run.

    Args:
        report: the report of the run.
        options: the checks.

    Returns:
        The report with the results in its rows. After an interrupt, what was not measured has no value.

    Raises:
        StateError: the store cannot be read or written.
    """
    rows = [row for row in report.rows if row.has_image and options.checks.get(row.stage)]
    if not rows:
        return CheckedReport(report)
    values = _Measuring(options)
    interrupted = values.measure(rows)
    near = {stage: _near(stage, report.rows, checks, options.space) for stage, checks in options.checks.items()}
    accepted = {} if options.lock is None else options.lock.of_cells()
    results: dict[str, tuple[CheckResult, ...]] = {}
    for row in rows:
        likenesses = [(line.sha256, line.likeness) for line in accepted.get(row.id, ())]
        results[row.id] = tuple(
            _result(check, _apart(check, row, near[row.stage], likenesses) or values.of(check, row))
            for check in options.checks[row.stage]
        )
    failed = {row.id: [one.name for one in results[row.id] if one.passed is False] for row in rows}
    remember_failed_checks(options.space, {f"{options.name}/{row.id}": (row.key, failed[row.id]) for row in rows})
    checked = tuple(replace(row, checks=results.get(row.id, ())) for row in report.rows)
    return CheckedReport(replace(report, rows=checked), interrupted)


class _Measuring:
    """The values of images: the stored ones, and those that are missing.

    `known` has the stored values of each image as they are on disk: of thousands of images they are only read once.
    """

    def __init__(self, options: CheckOptions) -> None:
        self.options = options
        self.known: dict[str, dict[str, Json]] = {}
        self.failed: dict[str, _Values] = {}
        self.names = {check.trail: _name(check) for checks in options.checks.values() for check in checks}
        self.of_pixels = {
            stage: [check for check in checks if check.measure not in _APART]
            for stage, checks in options.checks.items()
        }

    def of(self, check: ImageCheck, row: Row) -> Measured:
        """The value of a check for an image."""
        digest, name = str(row.sha256), self._name(check, row)
        return _stored(self.known[digest].get(name)) or self.failed.get(digest, {}).get(name, INTERRUPTED)

    def measure(self, rows: Sequence[Row]) -> bool:
        """Measure what is not stored; whether someone interrupted it."""
        digests = dict.fromkeys(str(row.sha256) for row in rows)
        stored = self.options.space.facts.read(f"{_PREFIX}{digest}" for digest in digests)
        self.known = {digest: stored.get(f"{_PREFIX}{digest}", {}) for digest in digests}
        missing: dict[str, dict[str, tuple[ImageCheck, Row]]] = {}
        for row in rows:
            digest = str(row.sha256)
            for check in self.of_pixels[row.stage]:
                name = self._name(check, row)
                if _stored(self.known[digest].get(name)) is None:
                    missing.setdefault(digest, {})[name] = check, row
        with _terminated_as_interrupted():
            return bool(missing) and self._measure_all(missing)

    def _measure_all(self, missing: Mapping[str, Mapping[str, tuple[ImageCheck, Row]]]) -> bool:
        new: dict[str, dict[str, Json]] = {}
        interrupted = False
        pool = ThreadPoolExecutor(_THREADS)
        try:
            tasks = {pool.submit(self._measured, digest, ones): digest for digest, ones in missing.items()}
            for task in _ended(tasks):
                digest, found = tasks[task], task.result()
                self.failed[digest] = {name: one for name, one in found.items() if one.value is None}
                if kept := {name: _fact(one) for name, one in found.items() if one.value is not None}:
                    self.known[digest] = new[f"{_PREFIX}{digest}"] = self.known[digest] | kept
                if len(new) >= _BATCH:
                    self.options.space.facts.write(new)
                    new = {}
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self.options.runner.stop()
            pool.shutdown(cancel_futures=True)
        self.options.space.facts.write(new)
        return interrupted

    def _measured(self, digest: str, ones: Mapping[str, tuple[ImageCheck, Row]]) -> _Values:
        """The values of one image, which is decoded once."""
        data = self.options.space.blobs.read(digest)
        if data is None:
            return dict.fromkeys(ones, Measured(None, "the image is missing from the store"))
        found: _Values = {}
        pixels = {name: check for name, (check, _) in ones.items() if check.measure != COMMAND}
        if pixels:
            values = self.options.measure(data, [(one.measure, one.colours, one.within) for one in pixels.values()])
            if isinstance(values, str):
                found |= dict.fromkeys(pixels, Measured(None, values))
            else:
                found |= {name: Measured(value) for name, value in zip(pixels, values, strict=True)}
        for name, (check, row) in ones.items():
            if check.measure == COMMAND:
                found[name] = self.options.runner.measure(check, data, row.prompt)
        return found

    def _name(self, check: ImageCheck, row: Row) -> str:
        """The name of a value: the measure, all of the check but its limits, and the prompt if a command gets it."""
        name = self.names[check.trail]
        if check.measure == COMMAND and uses_prompt(check):
            return f"{name}:{hashlib.sha256(row.prompt.encode('utf-8', 'replace')).hexdigest()[:16]}"
        return name


def _ended(tasks: Iterable["Future[_Values]"]) -> Iterator["Future[_Values]"]:
    """The tasks in the order in which they end.

    Python does not wake a thread for a signal that comes between its last instruction and the wait, and a command may
    take minutes: so no wait is long.
    """
    left = set(tasks)
    while left:
        with suppress(TimeoutError):
            for task in as_completed(left, _LONGEST_WAIT):
                left.discard(task)
                yield task


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Have the signals that end a process interrupt it, so that it ends its commands first, and writes its report."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        taken = [one for one in signals if signal.getsignal(one) is not signal.SIG_IGN]
        before = {one: signal.signal(one, interrupt) for one in taken}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _name(check: ImageCheck) -> str:
    name = f"{check.measure}@{VALUE_VERSION}"
    if check.measure == COLOUR_SHARE:
        return f"{name}:{check.within:g}:{','.join(sorted({*check.colours}))}"
    return f"{name}:{command_digest(check)}" if check.measure == COMMAND else name


def _stored(data: Json) -> Measured | None:
    if isinstance(data, list) and len(data) == 2 and isinstance(data[0], (int, float)):
        return Measured(float(data[0]), str(data[1]))
    return None


def _fact(one: Measured) -> Json:
    return [one.value, one.message]


def _near(stage: str, rows: Iterable[Row], checks: Sequence[ImageCheck], space: Space) -> Mapping[str, Nearest]:
    """The nearest image of each image of a stage, if one of its checks asks for that; comparisons are stored too."""
    limits = [check.min or 0.0 for check in checks if check.measure == NEAREST]
    if not limits:
        return {}
    images = [Signed(row.id, row.key, row.likeness) for row in rows if row.stage == stage and row.has_image]
    fact = f"{_NEAR}{comparison_digest(images, max(limits))}"
    if (known := space.facts.read([fact]).get(fact)) is not None:
        return dict(_read_near(known))
    found = nearest_of(images, max(limits))
    space.facts.write({fact: {cell: [one.distance, *one.cells] for cell, one in found.items()}})
    return found


def _read_near(known: Mapping[str, Json]) -> Iterator[tuple[str, Nearest]]:
    for cell, data in known.items():
        if isinstance(data, list) and data and isinstance(data[0], (int, float)):
            yield cell, Nearest(float(data[0]), tuple(map(str, data[1:])))


def _apart(
    check: ImageCheck, row: Row, near: Mapping[str, Nearest], accepted: Sequence[tuple[str, str]]
) -> Measured | None:
    """The value of a measure that needs no pixels; None for any other."""
    if check.measure in _OF_ROW:
        return Measured(row.width if check.measure == "width" else row.height, "" if row.width else "not measured")
    if check.measure == NEAREST:
        found = near.get(row.id)
        if found is None:
            return Measured(None, "there is no other image in the stage", is_open=True)
        cells = ", ".join(found.cells) if check.min is not None and found.distance < check.min else ""
        return Measured(found.distance, f"near {cells}" if cells else "")
    if check.measure == ACCEPTED:
        if any(digest == row.sha256 for digest, _ in accepted):
            return Measured(0.0)
        found_distances = [one for _, likeness in accepted if (one := distance(row.likeness, likeness)) is not None]
        if not found_distances:
            return Measured(None, "no image of this cell is accepted", is_open=True)
        return Measured(min(found_distances))
    return None


def _result(check: ImageCheck, measured: Measured) -> CheckResult:
    """Hold a value against the limits of a check."""
    value, message = measured.value, measured.message
    if value is None:
        passed = None if measured.is_open else False  # a measure that did not work must not pass for one that did
        return CheckResult(check.name, check.measure, None, check.min, check.max, passed, check.fail, message)
    value = value if check.measure == COMMAND else round(value, _DIGITS)
    wrong = ""
    if check.min is not None and value < check.min:
        wrong = f"{number_text(value)} is less than {number_text(check.min)}"
    elif check.max is not None and value > check.max:
        wrong = f"{number_text(value)} is more than {number_text(check.max)}"
    message = ": ".join(part for part in (wrong, message) if part)
    return CheckResult(check.name, check.measure, value, check.min, check.max, not wrong, check.fail, message)


def has_failed(report: Report) -> bool:
    """Whether an image fails a check that is to fail the run.

    Args:
        report: the report, with the results of its checks.
    """
    return any(one.passed is False and one.fail for row in report.rows for one in row.checks)
