"""The package as other programs use it: load → plan → run."""

import asyncio
import subprocess
import sys
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from command_line import KEY

import krea_pipe

HEAVY = {
    "httpx",
    "jinja2",
    "jsonschema",
    "yaml",
    "PIL",
    "starlette",
    "click",
    "rich",
    "krea_pipe.app.flow",
    "krea_pipe.planning.plan",
}


@pytest.fixture
def place(project, monkeypatch):
    """A project's folder and environment, as those of this process."""
    monkeypatch.chdir(project.path)
    for name, value in project.environment({}).items():
        monkeypatch.setenv(name, value)
    return project


def program(place, text):
    place.write("program.py", text)
    process = subprocess.run(
        [sys.executable, "program.py"], cwd=place.path, env=place.environment({}), capture_output=True, timeout=60
    )
    return process.returncode, process.stdout.decode(), process.stderr.decode()


def test_importing_the_package_loads_nothing_of_it(place):
    text = f"import krea_pipe, sys; print(krea_pipe.__version__, sorted({HEAVY!r} & set(sys.modules)))"
    assert program(place, text) == (0, f"{krea_pipe.__version__} []\n", "")


def test_the_functions_are_there_with_or_without_their_modules(place):
    text = (
        "import krea_pipe.planning.plan, krea_pipe.executor.executor\n"
        "from krea_pipe import load, plan, run\n"
        "print(krea_pipe.plan is plan, krea_pipe.run is run, plan.__module__, hasattr(krea_pipe, 'nothing'))\n"
    )
    assert program(place, text) == (0, "True True krea_pipe.app.package False\n", "")


def test_a_plan_tells_the_price_and_needs_no_key(place, monkeypatch):
    monkeypatch.delenv("KREA_API_KEY")
    pipeline = krea_pipe.load(place.pipeline(["a", "b", "c"]))
    plan = krea_pipe.plan(pipeline, select=["w=a", "w=b"])
    assert (plan.price, plan.counts) == (Decimal("0.06"), {"new": 2, "reuse": 0, "fetch": 0, "attach": 0, "hold": 0})
    assert [(step.cells[0].id, step.reason) for step in plan.steps] == [("p/a", "new"), ("p/b", "new")]
    assert place.krea.seen == []
    assert not place.home.exists()


def test_a_run_draws_reports_and_pays_once(place, capfd):
    pipeline = krea_pipe.load(place.pipeline(["a", "b"]))
    told = []
    first = krea_pipe.run(pipeline, out="drawn", max_cost="0.06", on_progress=told.append)
    assert [(row.id, row.status, row.image) for row in first.report.rows] == [
        ("p/a", "succeeded", "drawn/a.png"),
        ("p/b", "succeeded", "drawn/b.png"),
    ]
    assert (first.report.exit_code, first.report.cost.spent_usd) == (0, Decimal("0.06"))
    assert all((first.folder / first.report.base / row.image).exists() for row in first.report.rows)
    assert [(one.done, one.total, one.status) for one in told] == [(1, 2, "succeeded"), (2, 2, "succeeded")]
    assert {one.cell for one in told} == {"p/a", "p/b"}
    again = krea_pipe.run(pipeline, out="drawn")
    assert ([row.status for row in again.report.rows], again.report.cost.spent_usd) == (["reused"] * 2, 0)
    assert krea_pipe.plan(pipeline).counts["reuse"] == 2
    assert capfd.readouterr() == ("", "")


def test_what_stands_over_a_file_is_said_in_python(place):
    place.write(
        "p.yaml",
        'version: 1\nprompt: "{{ word }}"\nvars: {word: plain}\nmatrix: {creativity: [raw, low]}\n'
        "profiles: {few: {matrix: {creativity: [raw]}}}\n",
    )
    place.write("words.yaml", "word: other\n")
    over = {"variant": "large", "aspect_ratio": "16:9", "budget.usd": Decimal("0.07")}
    pipeline = krea_pipe.load("p.yaml", profile="few", sets=over, variables="words.yaml")
    (step,) = krea_pipe.plan(pipeline).steps
    assert (step.request.prompt, step.request.variant, step.price) == ("other", "large", Decimal("0.06"))
    assert step.request.fields()["aspect_ratio"] == "16:9"
    assert pipeline.loaded.pipeline.budget.usd == Decimal("0.07")


@pytest.mark.parametrize("local", [True, False])
def test_a_run_works_inside_a_running_loop(place, local):
    async def notebook():
        return krea_pipe.run(krea_pipe.load(place.pipeline(["a", "b"])), local=local)

    finished = asyncio.run(notebook())
    assert [row.status for row in finished.report.rows] == ["succeeded", "succeeded"]
    assert (finished.report.target.kind, finished.report.out) == (("local", "proofs/p") if local else ("live", "out/p"))


def test_an_interrupt_in_a_running_loop_ends_the_run_gently(place):
    """As a notebook does it: its loop runs, and a signal becomes a KeyboardInterrupt where the cell's code stands."""
    place.pipeline([str(number) for number in range(40)])
    text = (
        "import asyncio, os, signal, krea_pipe\n"
        "async def cell():\n"
        "    said = lambda told: os.kill(os.getpid(), signal.SIGINT) if told.done == 1 else None\n"
        "    ended = krea_pipe.run(krea_pipe.load('p.yaml'), on_progress=said)\n"
        "    print(ended.report.exit_code, ended.report.cells.succeeded > 0, ended.report.cells.pending > 0)\n"
        "asyncio.new_event_loop().run_until_complete(cell())\n"
    )
    place.krea.reset(latency=0.3, concurrency=2)
    code, out, err = program(place, text)
    assert (code, out) == (0, "130 True True\n"), err


def test_what_is_wrong_is_raised_before_anything_is_sent(place, monkeypatch):
    place.write("wrong.yaml", "version: 1\nprompts: x\nmatrix: {creativty: [raw]}\n")
    with pytest.raises(krea_pipe.KreaPipeError) as wrong:
        krea_pipe.load("wrong.yaml")
    assert len(wrong.value.problems) > 1
    assert all(problem.at.line for problem in wrong.value.problems)
    pipeline = krea_pipe.load(place.pipeline(["a"], more=""))
    codes = {}
    for amount in (None, "dear", float("nan"), -1):
        with pytest.raises(krea_pipe.KreaPipeError) as refused:
            krea_pipe.run(pipeline, max_cost=amount)
        codes[str(amount)] = refused.value.code
    assert codes == {"None": "no_cap", "dear": "bad_amount", "nan": "bad_amount", "-1": "bad_amount"}
    with pytest.raises(krea_pipe.KreaPipeError, match="is not allowed in a pipeline file"):
        krea_pipe.load("p.yaml", sets={"vars.word": object()})
    monkeypatch.delenv("KREA_API_KEY")
    with pytest.raises(krea_pipe.KreaPipeError, match="there is no API key"):
        krea_pipe.run(pipeline, max_cost=1)
    assert place.krea.seen == []


def test_a_live_run_keeps_the_lock_file_and_a_frozen_one_obeys_it(place):
    file = place.pipeline(["a", "b"])
    krea_pipe.run(krea_pipe.load(file), local=True)
    krea_pipe.run(krea_pipe.load(file, sets={"creativity": "high"}))
    lock = place.path / "p.lock.jsonl"
    assert not lock.exists()
    krea_pipe.run(krea_pipe.load(file), select="w=a")
    before = lock.read_text()
    assert before.count("\n") == 1
    with pytest.raises(krea_pipe.KreaPipeError) as refused:
        krea_pipe.run(krea_pipe.load(file), frozen=True)
    assert refused.value.code == "not_locked"
    assert (len(place.krea.world.jobs), lock.read_text()) == (3, before)


def test_a_limit_ends_a_run_and_is_told(place):
    finished = krea_pipe.run(krea_pipe.load(place.pipeline(["a", "b", "c"])), max_cost=0.07)
    assert (finished.report.exit_code, finished.report.cost.spent_usd) == (5, Decimal("0.06"))
    assert finished.ending.limit is not None
    assert KEY not in repr(finished)


def test_what_a_progress_function_raises_comes_out_and_loses_nothing(place):
    def refuse(_):
        raise ZeroDivisionError("a bug of the caller's")

    pipeline = krea_pipe.load(place.pipeline(["a", "b"]))
    with pytest.raises(ZeroDivisionError):
        krea_pipe.run(pipeline, on_progress=refuse)
    finished = krea_pipe.run(pipeline)
    assert finished.report.exit_code == 0
    assert len(place.krea.world.jobs) == 2


def test_the_latest_run_is_the_one_that_began_last_though_the_clock_was_set_back(place, monkeypatch):
    class Clock(datetime):
        """The clock of this machine, which is set back between two runs."""

        days = 0

        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=cls.days)

    monkeypatch.setattr("krea_pipe.app.flow.datetime", Clock)
    pipeline = krea_pipe.load(place.pipeline(["a"]))
    earlier = krea_pipe.run(pipeline, local=True).report.run_id
    Clock.days = 400
    later = krea_pipe.run(pipeline, local=True).report.run_id
    assert later < earlier, "a folder's name has the time of the clock"
    for words in (["report", "--json"], ["export", "--json"], ["sheet", "--json"]):
        assert place.run(*words).json["run_id"] == later
    assert place.run("report", "nothing").text.rstrip().endswith(f"{earlier}, {later}")
    (place.home / "run-order.txt").unlink()
    assert place.run("report", "--json").json["run_id"] == earlier, "as earlier versions did"
