"""The commands around a run: starting, looking, reporting, and what they say when the disk is against them."""

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import KEY, Project

from krea_pipe._version import __version__

SCHEMA = Path(__file__).parents[2] / "schemas/pipeline.schema.json"
COMMANDS = ["init", "validate", "expand", "plan", "run", "report", "status", "cancel", "recover", "serve"]


def test_the_version_and_every_help(project):
    assert project.run("--version").out == f"krea-pipe {__version__}\n"
    help_text = project.run("--help")
    assert help_text.code == 0
    assert "Exit codes" in help_text.out
    assert project.run("-h").out == help_text.out
    for command in COMMANDS:
        assert command in help_text.out
        done = project.run(command, "--help")
        assert (done.code, "--json" in done.out) == (0, True), command


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("run",),
        ("run", "p.yaml", "--concurrency", "0"),
        ("run", "p.yaml", "--concurrency", "10001"),
        ("run", "p.yaml", "--submit-parallel", "0"),
        ("run", "p.yaml", "--submit-parallel", "9"),
        ("run", "p.yaml", "--max-new", "-1"),
        ("run", "p.yaml", "--job-timeout", "0"),
        ("run", "p.yaml", "--job-timeout", "nan"),
        ("run", "p.yaml", "--job-timeout", "inf"),
        ("run", "p.yaml", "--webhook-url", "nonsense"),
        ("run", "p.yaml", "--webhook-listen", "nonsense"),
        ("run", "p.yaml", "--local", "--webhook-listen", "127.0.0.1:0"),
        ("run", "p.yaml", "--max-cost", "NaN"),
        ("run", "p.yaml", "--max-cost", "-1"),
        ("run", "p.yaml", "--max-cost", "1e999999"),
        ("run", "p.yaml", "--max-cost", "much"),
        ("run", "p.yaml", "--uncertain", "maybe"),
        ("plan", "missing.yaml"),
        ("expand", "."),
        ("report", "no-such-run"),
        ("report", "x" * 5000),
        ("view", "x" * 5000 + ".yaml"),
        ("export", "x/" * 2000),
        ("report",),
    ],
)
def test_what_can_not_be_followed_is_refused_with_a_hint(project, words):
    project.pipeline(["a"])
    done = project.run(*words)
    assert done.code == 2
    assert 1 <= len(done.err.splitlines()) <= (4 if words else 40)
    as_json = project.run(*words, "--json")
    assert as_json.code == 2
    assert as_json.json["schema"] == "krea-pipe/error@1"
    assert as_json.json["exit_code"] == 2


def test_no_command_is_a_question(project):
    done = project.run()
    assert (done.code, done.err) == (0, "")
    assert "Generate images:" in done.out


def test_init_starts_a_project_that_runs(project):
    project.write(".gitignore", b"\xff\xfe odd\nout/")
    done = project.run("init", ".", "--json")
    assert (done.code, done.json["ignored"]) == (0, [".krea-pipe/", "proofs/"])
    assert (project.path / ".gitignore").read_bytes() == b"\xff\xfe odd\nout/\n.krea-pipe/\nproofs/\n"
    starter = (project.path / "pipeline.yaml").read_bytes()
    assert starter.splitlines()[0] == b"# yaml-language-server: $schema=pipeline.schema.json"
    assert (project.path / "pipeline.schema.json").read_bytes() == SCHEMA.read_bytes()
    assert done.json["created"] == ["pipeline.yaml", "pipeline.schema.json"]
    assert project.run("validate", "pipeline.yaml").code == 0
    plan = project.run("plan", "pipeline.yaml", "--json").json
    assert plan["totals"]["new"]["requests"] == 8
    again = project.run("init")
    assert again.code == 2
    assert "left unchanged" in again.err
    assert (project.path / "pipeline.yaml").read_bytes() == starter
    assert project.run("init", "deeper/still").code == 0
    assert (project.path / "deeper/still/.gitignore").is_file()
    assert project.run("init", "pipeline.yaml").code == 2
    assert project.run("init", "pipeline.yaml/below").code == 1
    assert project.run("init", "x" * 300).code == 2


@pytest.mark.parametrize("found", [None, "theirs", "ours"])
def test_init_leaves_a_schema_of_the_user_alone(project, found):
    content = {None: SCHEMA.read_bytes(), "theirs": b"{}", "ours": SCHEMA.read_bytes()}[found]
    if found:
        project.write("pipeline.schema.json", content)
    done = project.run("init")
    assert done.code == 0
    assert ("left unchanged" in done.err) == (found == "theirs")
    assert (project.path / "pipeline.schema.json").read_bytes() == content
    (project.path / "pipeline.yaml").unlink()
    again = project.run("init", "--json").json
    assert again["kept"] == (["pipeline.schema.json"] if found == "theirs" else [])
    assert again["created"] == ["pipeline.yaml"]


def test_validate_takes_many_files_and_says_all(project):
    project.pipeline(["a"])
    project.write("bad.yaml", "version: 1\nprompt: a\nnonsense: 1\n")
    done = project.run("validate", "p.yaml", "bad.yaml", "--json")
    assert (done.code, [file["valid"] for file in done.json["files"]]) == (2, [True, False])
    assert project.run("validate", "p.yaml").out == "p.yaml: valid, 1 image\n"


def test_expand_shows_every_request(project):
    project.pipeline([f"w{n}" for n in range(250)])
    assert "50 more" in project.run("expand", "p.yaml").out
    assert len(project.run("expand", "p.yaml", "--json").json["cells"]) == 250
    lines = project.run("expand", "p.yaml", "--jsonl").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [f"p/w{n}" for n in range(250)]


@pytest.mark.parametrize("command", ["expand", "plan"])
def test_tables_fit_a_terminal_and_end_without_spaces(project, monkeypatch, command):
    project.pipeline(["a lamp on a table that is far too long for a narrow terminal", "b"])
    for line in project.run(command, "p.yaml").out.splitlines():
        assert line == line.rstrip()
    monkeypatch.setattr("krea_pipe.cli.tables.PIPE_WIDTH", 60)
    lines = project.run(command, "p.yaml").out.splitlines()
    rows = [line for line in lines if line.startswith("p/")]
    assert all(len(line) <= 60 and "…" in line for line in rows[:1])
    assert all(("medium" if command == "expand" else "$0.03") in line for line in rows)


def test_expand_streams_and_bears_a_reader_that_leaves(project):
    project.pipeline([f"w{n}" for n in range(20_000)])
    process = project.start("expand", "p.yaml", "--jsonl", env={"PYTHONUNBUFFERED": "1"})
    first = process.stdout.readline()
    running = process.poll() is None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert json.loads(first)["id"] == "p/w0"
    assert running
    assert errors == b""


@pytest.mark.parametrize(
    "command", [("plan", "p.yaml"), ("expand", "p.yaml"), ("--help",), ("run", "p.yaml", "--local")]
)
def test_closed_streams_and_narrow_encodings_are_borne(project, command):
    project.pipeline(["caf\u00e9 \u2192 \u2603"])
    done = project.spawn(*command, env={"PYTHONIOENCODING": "ascii"})
    assert done.code == 0, done.err
    shell = 'exec "$0" -m krea_pipe "$@" >&- 2>&-'
    process = subprocess.run(
        ["sh", "-c", shell, sys.executable, *command], cwd=project.path, env=project.environment({}), check=False
    )
    assert process.returncode == 0


def test_a_report_finds_images_in_any_folder(project, krea, tmp_path_factory):
    project.pipeline(["a"])
    elsewhere = tmp_path_factory.mktemp("else where")
    done = project.run("run", "p.yaml", "--out", elsewhere, "--json")
    folder = (project.path / done.json["report"]).parent
    (row,) = done.report["cells"]
    assert not Path(row["image"]).is_absolute()
    assert (folder / done.report["base"] / row["image"]).resolve() == elsewhere / "a.png"
    assert (elsewhere / "a.png").is_file()


def test_messages_say_from_where_the_output_folder_counts(project, krea):
    project.pipeline(["a"], name="pipelines/p.yaml")
    top = project.path.resolve()
    assert f"\nimages  out/p in {top}\n" in project.run("run", "pipelines/p.yaml").out
    assert (top / "out/p/a.png").is_file()
    home = {"KREA_PIPE_HOME": str(project.home)}
    inner = Project(top / "pipelines", krea)
    assert "\nimages  out/p\n" in inner.run("run", "p.yaml", env=home).out, "it is the pipeline's own folder"
    assert f"\nimages  out/p in {top / 'pipelines'}\n" in project.run("report").out
    wrong = Project(project.write("pipelines/x/y", "").parent.resolve(), krea).run("verify", "../p.yaml")
    assert wrong.code == 8
    assert f"Looked in {top / 'pipelines/x/out/p'}; use --out for another folder." in wrong.out


def test_a_report_is_made_again_from_the_record(project, krea):
    project.pipeline(["a"])
    first = project.run("run", "p.yaml", "--json").json
    second = project.run("run", "p.yaml", "--json").json
    page = project.path / second["page"]
    page.unlink()
    done = project.run("report", "--json")
    assert (done.code, done.json["run_id"]) == (0, second["run_id"])
    assert page.is_file()
    assert project.run("report", first["run_id"]).code == 0
    assert project.run("report", project.path / first["report"].rpartition("/")[0]).code == 0
    assert project.run("report", first["run_id"][:8]).code == 2
    for damage in (b"[]", b"{}", b"\xff", b"", b'{"schema": "krea-pipe/run-report@1"}'):
        (project.path / second["report"]).write_bytes(damage)
        assert project.run("report", "--json").json["error"]["code"] == "unreadable_report"
    (project.path / second["report"]).unlink()
    assert project.run("report", second["run_id"]).code == 2


def test_a_terminal_sees_a_bar(project):
    """Progress on a terminal goes through other code than in a log."""
    project.pipeline(["a", "fail"])
    project.krea.mutate_job(lambda job: {**job, "status": "failed"}, text="fail")
    reader, writer = pty.openpty()
    process = project.start("run", "p.yaml", stderr=writer, env={"TERM": "xterm"})
    os.close(writer)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal says that its other side has gone
        while part := os.read(reader, 4096):
            shown += part
    os.close(reader)
    assert process.wait(timeout=60) == 1
    process.stdout.close()
    assert b"drawing" in shown
    assert b"p/fail failed" in shown


@pytest.mark.parametrize(
    "base",
    [
        "http://api.krea.example",
        "ftp://127.0.0.1",
        "127.0.0.1:80",
        "http://127.0.0.1:99999",
        "http://[::1",
        "https://user:pass@api.krea.ai",
        "https://exa mple",
        "https://api.krea.ai?x=1",
    ],
)
def test_an_address_that_can_not_be_used_is_refused(project, base):
    project.pipeline(["a"])
    for command in ("plan", "run"):
        done = project.run(command, "p.yaml", "--json", env={"KREA_API_BASE": base})
        assert (done.code, done.json["error"]["code"]) == (2, "bad_api_base")
        assert "pass" not in done.json["error"]["message"]


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "1e9", "soon"])
def test_a_pace_that_is_none_is_refused(project, seconds):
    project.pipeline(["a"])
    for name in ("KREA_PIPE_POLL_SECONDS", "KREA_PIPE_SETTLE_SECONDS"):
        done = project.run("run", "p.yaml", "--json", env={name: seconds})
        if (name, seconds) != ("KREA_PIPE_SETTLE_SECONDS", "0"):
            assert (done.code, done.json["error"]["code"]) == (2, "bad_seconds")
            assert name in done.json["error"]["message"]


def test_a_bug_is_told_with_a_log_and_without_secrets(project, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError(f"it holds {KEY}")

    monkeypatch.setattr("krea_pipe.app.flow.load_pipeline", broken)
    monkeypatch.setattr("command_line.check_sane", lambda _: None)
    done = project.run("plan", "p.yaml", "--json")
    assert (done.code, done.json["error"]["code"]) == (70, "internal_error")
    people = project.run("plan", "p.yaml")
    assert people.code == 70
    assert "Traceback" not in people.text
    assert KEY not in people.text
    logs = list((project.home / "logs").glob("*.log"))
    assert logs
    assert str(logs[-1].relative_to(project.path)) in people.err
    text = logs[-1].read_text(encoding="utf-8")
    assert "ZeroDivisionError" in text
    assert KEY not in text


def test_a_run_without_news_loads_no_network_code(project):
    project.pipeline(["a"])
    assert project.run("run", "p.yaml", "--local").code == 0
    loaded = modules_after(project, "run", "p.yaml", "--local")
    assert "krea_pipe.app.flow" in loaded
    assert not loaded & {"httpx", "starlette", "rich", "uvicorn", "PIL"}


def test_a_valid_file_is_checked_without_jsonschema_and_jinja(project):
    project.pipeline(["a"])
    assert not modules_after(project, "validate", "p.yaml") & {"jsonschema", "jinja2", "sqlite3", "urllib.request"}
    project.write("wrong.yaml", "version: 1\nprompt: a lamp\nseed: x\n")
    assert project.run("validate", "wrong.yaml").code == 2


def test_the_version_loads_next_to_nothing(project):
    loaded = modules_after(project, "--version")
    assert not loaded & {"httpx", "jinja2", "jsonschema", "PIL", "yaml", "rich", "diskcache", "sqlite3"}


def test_a_check_of_a_plain_file_loads_no_more_than_it_needs(project):
    project.write("p.yaml", "version: 1\nname: p\nprompt: A glass lamp\n")
    loaded = modules_after(project, "validate", "p.yaml")
    assert not loaded & {"httpx", "jinja2", "jsonschema", "PIL", "rich", "diskcache", "sqlite3"}
    assert not loaded & {"subprocess", "tempfile", "importlib.resources", "fractions"}


def modules_after(project, *words):
    """The modules that a command has loaded at its end."""
    code = "import sys, atexit; atexit.register(lambda: print('|'.join(sys.modules), file=sys.stderr)); "
    code += f"sys.argv = ['krea-pipe', *{list(words)!r}]; from krea_pipe.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.path,
        env=project.environment({}),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.splitlines()[-1].split("|"))
