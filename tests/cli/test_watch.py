"""`krea-pipe watch`: real saves of real files, whose plan, problems and proofs follow, and nothing that is sent."""

import io
import json
import signal
import sys
import threading
from contextlib import contextmanager

import pytest
from command_line import Project, check_document
from krea_server import DEADLINE, until
from PIL import Image
from served_view import LIFE, View, stop

FILE = """\
version: 1
name: p
prompt: "a {{ w }} on wet slate"
matrix: {w: [lamp, cup]}
budget: {usd: 5}
"""


def png(colour) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(data, "PNG")
    return data.getvalue()


class Watched(View):
    """A `watch` that is running: its page, and what it prints."""

    def next(self, event):
        """The next thing of that kind that it says."""
        for line in self.process.stdout:
            said = json.loads(line)
            check_document(said)
            if said["event"] == event:
                return said
        raise AssertionError(f"it ended without `{event}`: {self.process.stderr.read().decode()}")

    def shows(self, *prompts):
        """The rows of the page once it shows proofs of exactly these prompts."""
        found: dict = {}

        def is_shown():
            found.clear()
            found.update(self.rows())
            pictures = [row["prompt"] for row in found.values() if row["sha256"]]
            return len(pictures) == len(found) and sorted(pictures) == sorted(prompts)

        until(is_shown, prompts)
        return found


@contextmanager
def watched(project, *words, env=()):
    """`krea-pipe watch` for as long as the block lasts; it has to end well."""
    process = project.start("watch", "p.yaml", *words, "--json", "--no-open", "--seconds", LIFE, env=env)
    watchdog = threading.Timer(DEADLINE * 3, process.kill)
    watchdog.daemon = True
    watchdog.start()
    said = json.loads(process.stdout.readline())
    assert said["event"] == "saved", said
    lines = [json.loads(process.stdout.readline()) for _ in range(2)]  # the page, and the first proofs
    (page,) = (one for one in lines if "url" in one)
    yield Watched(page["url"], page["run_id"], process)
    watchdog.cancel()
    assert stop(process) == 0
    assert process.communicate(timeout=DEADLINE)[1] == b""


@pytest.fixture
def file(project):
    """A pipeline with two cells."""
    return project.write("p.yaml", FILE)


def written(file, text):
    file.write_text(text)


def renamed(file, text):
    """As vim and most editors save: another file takes its place."""
    other = file.with_name(".p.yaml.swp")
    other.write_text(text)
    file.rename(file.with_name("p.yaml~"))
    other.rename(file)


def truncated(file, text):
    with file.open("w") as stream:
        stream.write(text[:30])
        stream.flush()
        stream.write(text[30:])


def often(file, text):
    for end in ("", "# 1\n", "# 2\n", ""):
        file.write_text(text + end)


LAMP, CUP = "a lamp on wet slate", "a cup on wet slate"


def test_a_save_is_planned_and_draws_only_what_changed_however_an_editor_saves(project, file):
    with watched(project) as watch:
        key = watch.shows(LAMP, CUP)["lamp"]["key"]
        for number, save in enumerate((written, renamed, truncated, often)):
            with watch.events() as events:
                save(file, FILE.replace("cup", f"cup {number}"))
                assert watch.next("saved")["totals"]["new"] == {"requests": 2, "usd": "0.06"}
                assert events.next("rerun")["run_id"] != watch.run_id
            rows = watch.shows(LAMP, f"a cup {number} on wet slate")
            assert rows["lamp"]["key"] == key
            assert watch.get(f"thumbnails/{rows[f'cup-{number}']['sha256']}.webp").status_code == 200
    assert len([line for line in project.journal("local") if line["event"] == "done"]) == 6
    assert not (project.home / "runs").exists()
    assert not (project.path / "proofs").exists()


def test_problems_are_said_with_their_place_while_the_page_keeps_its_last_state(project, file):
    with watched(project) as watch:
        for spoil, code, line in (
            (lambda: file.write_text(FILE + "promt: x\n"), "unknown_key", 6),
            (lambda: file.write_text('version: 1\nprompt: "a {{ '), "unclosed_quote", 2),
            (file.unlink, "file_unreadable", None),
        ):
            before = watch.shows(LAMP, CUP)
            spoil()
            (problem,) = watch.next("problems")["problems"]
            assert problem["code"] == code
            assert line is None or problem["at"]["line"] == line
            with watch.events() as events:
                said = events.next("status", lambda one: one["is_problem"])
            assert problem["message"].splitlines()[0] in said["text"]
            assert watch.rows().keys() == before.keys()
            file.write_text(FILE)
            watch.next("saved")
            watch.next("drawn")


def test_every_file_that_the_pipeline_reads_is_followed(project):
    project.write(
        "p.yaml",
        """\
version: 1
name: p
use: [brand.yaml]
prompt: {file: words.txt}
matrix:
  w: {csv: words.csv}
references: {tint: {images: [refs/*.png]}}
defaults: {references: [tint]}
""",
    )
    project.write("brand.yaml", "version: 1\nvars: {light: dusk}\n")
    project.write("words.txt", "{% include 'part.j2' %} {{ w.text }}, {{ light }}")
    project.write("part.j2", "a")
    project.write("words.csv", "id,text\none,lamp\n")
    project.write("refs/one.png", png("grey"))
    with watched(project) as watch:
        seen = {watch.shows("a lamp, dusk")["one"]["key"]}
        for name, content, prompt in (
            ("brand.yaml", "version: 1\nvars: {light: dawn}\n", "a lamp, dawn"),
            ("words.txt", "{% include 'part.j2' %} small {{ w.text }}, {{ light }}", "a small lamp, dawn"),
            ("part.j2", "the", "the small lamp, dawn"),
            ("words.csv", "id,text\none,cup\n", "the small cup, dawn"),
            ("refs/one.png", png("red"), "the small cup, dawn"),
            ("refs/two.png", png("blue"), "the small cup, dawn"),
        ):
            project.write(name, content)
            watch.next("saved")
            until(lambda prompt=prompt: watch.shows(prompt)["one"]["key"] not in seen, name)
            seen.add(watch.shows(prompt)["one"]["key"])
        (project.path / "refs/two.png").unlink()
        watch.next("saved")
        assert watch.next("drawn")["proofs"] >= 0
        until(lambda: watch.shows("the small cup, dawn")["one"]["key"] in seen, "the earlier proof")


def test_no_request_leaves_and_no_shared_store_is_in_reach(project, krea, file):
    """The environment names a key, an address and a store that cannot be used, which any other command refuses."""
    env = {"KREA_PIPE_REMOTE": "nonsense", "KREA_API_TOKEN": "second"}
    assert project.run("plan", "p.yaml", env=env).code == 2
    with watched(project, env=env) as watch:
        file.write_text(FILE.replace("slate", "oak"))
        watch.shows("a lamp on wet oak", "a cup on wet oak")
    assert krea.seen == []
    assert not (project.home / "loopback").exists()


def test_drawing_a_state_stops_when_a_newer_one_is_saved(project, file):
    many = FILE.replace("[lamp, cup]", "{count: 80}")
    with watched(project) as watch:
        file.write_text(many)
        until(lambda: len(rows := watch.rows()) == 80 and any(row["sha256"] for row in rows.values()), "a proof")
        file.write_text(FILE.replace("slate", "oak"))
        watch.shows("a lamp on wet oak", "a cup on wet oak")
    done = [line for line in project.journal("local") if line["event"] == "done"]
    assert 4 < len(done) < 84


def test_it_waits_for_a_file_that_can_be_read_and_ctrl_c_ends_it_before_that(project, file):
    file.write_text("version: 1\n")
    process = project.start("watch", "p.yaml", "--json", "--no-open", "--seconds", LIFE)
    assert json.loads(process.stdout.readline())["event"] == "problems"
    assert stop(process) == 0
    process = project.start("watch", "p.yaml", "--json", "--no-open", "--seconds", LIFE)
    assert json.loads(process.stdout.readline())["event"] == "problems"
    file.write_text(FILE)
    assert json.loads(process.stdout.readline())["event"] == "saved"
    assert {"schema", "url", "run_id"} <= {key for _ in range(2) for key in json.loads(process.stdout.readline())}
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE) == 0


def test_people_see_the_words_that_changed_the_price_and_the_address(project, file):
    process = project.start("watch", "p.yaml", "--no-open", "--seconds", LIFE)
    shown = _lines_to(process, " drawn")
    assert "New: 2 × $0.03 = $0.06; below the cap of $5.00." in shown
    file.write_text(FILE.replace("slate", "oak"))
    shown = _lines_to(process, " drawn")
    assert "p/lamp  changed  prompt: a lamp on wet [-slate-]{+oak+}  $0.03" in shown
    assert stop(process) == 0


def _lines_to(process, words) -> list[str]:
    found: list[str] = []
    while not any(words in line for line in found):
        line = process.stdout.readline()
        assert line, process.stderr.read()
        found.append(line.decode().rstrip("\n"))
    return found


def test_without_the_library_it_says_what_to_install(project: Project, file, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    done = project.run("watch", "p.yaml", "--seconds", "0")
    assert (done.code, "pip install 'krea-pipe[watch]'" in done.err) == (2, True)


def test_a_port_that_is_in_use_is_said_before_anything_is_read(project, file):
    with watched(project) as watch:
        done = project.spawn("watch", "p.yaml", "--port", watch.port)
        assert (done.code, "the port is in use" in done.err) == (2, True)
