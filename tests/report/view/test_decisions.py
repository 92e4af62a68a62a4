"""Decisions that are made in the page, in the picks files."""

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from command_line import Project
from served_view import viewed

PICKS = """\
# what we liked

- {pick: p/a, stars: 3, note: keep}  # the droplets
# too dark
- {reject: p/c}
"""
OLD_FORM = """\
# what we liked
stage: p
picks:
  - {id: p/a, stars: 3, note: keep}  # the droplets
rejected:
  # too dark
  - p/c
"""
KEY = re.compile(r", key: \"?[0-9a-f]{16}\"?")
CHAIN = """\
version: 1
stages:
  draft:
    prompt: "{{ w }}"
    matrix: {w: [a, b, c]}
  final:
    for_each: draft
    picks: {file: chosen.yaml, max: 2}
    prompt: "{{ source.prompt }}, large"
"""


@pytest.fixture(scope="module")
def of_all_tests(tmp_path_factory, served_krea):
    project = Project(tmp_path_factory.mktemp("decisions"), served_krea)
    project.pipeline(["a", "b", "c"])
    project.run("run", "p.yaml", "--local")
    with viewed(project) as view:
        yield project, view
    project.stop()


@pytest.fixture
def project(of_all_tests):
    project, _ = of_all_tests
    project.pipeline(["a", "b", "c"])
    shutil.rmtree(project.path / "picks", ignore_errors=True)
    return project


@pytest.fixture
def view(project, of_all_tests):
    """A view of a run with three cells, about which nothing is decided."""
    return of_all_tests[1]


def file_of(project):
    return project.path / "picks/p.yaml"


def lines_of(project):
    """What the picks file says, without the keys, which every decision about a cell has."""
    text = file_of(project).read_text()
    assert text.count("key: ") == text.count("- {")
    return KEY.sub("", text)


def said(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"code", "message", "hint"}
    return answer.json()["code"]


def test_a_first_pick_makes_the_file(project, view):
    nothing = {"file": "picks/p.yaml", "picks": [], "rejected": [], "problem": ""}
    assert view.json("picks") == {"p": nothing}
    answer = view.post("p", {"add": [{"id": "p/a", "stars": 4, "note": "calm"}, {"id": "p/b"}]})
    picks = [{"id": "p/a", "stars": 4, "note": "calm"}, {"id": "p/b", "stars": None, "note": ""}]
    assert (answer.status_code, answer.json()) == (200, {**nothing, "picks": picks})
    assert view.json("picks") == {"p": answer.json()}
    assert lines_of(project) == "- {pick: p/a, stars: 4, note: calm}\n- {pick: p/b}\n"
    assert '"stars": 4' in view.get().text


def test_a_decision_in_a_repository_brings_the_rule_by_which_git_merges_picks(tmp_path, served_krea):
    project = Project(tmp_path, served_krea)
    project.pipeline(["a", "b"])
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    project.run("run", "p.yaml", "--local")
    with viewed(project) as view:
        view.post("p", {"add": [{"id": "p/a"}]})
        assert (tmp_path / ".gitattributes").read_text() == "picks/*.yaml merge=union\n"


def test_a_change_leaves_comments_and_what_it_does_not_name(project, view):
    project.write("picks/p.yaml", PICKS)
    state = view.post("p", {"add": [{"id": "p/a", "stars": 5}], "reject": [{"id": "p/b"}]}).json()
    assert state["picks"] == [{"id": "p/a", "stars": 5, "note": "keep"}]
    assert lines_of(project) == PICKS.replace("stars: 3", "stars: 5").replace("# too", "- {reject: p/b}\n# too")


def test_a_file_of_the_first_form_is_read_and_written_anew(project, view):
    project.write("picks/p.yaml", OLD_FORM)
    assert [one["id"] for one in view.json("picks")["p"]["rejected"]] == ["p/c"]
    view.post("p", {"add": [{"id": "p/b"}]})
    lines = PICKS.replace("liked\n\n", "liked\n").replace("# too", "- {pick: p/b}\n# too")
    assert lines_of(project) == lines


def test_decisions_find_their_cells_by_request_and_are_changed_where_they_stand(project, view):
    view.post("p", {"add": [{"id": "p/a", "stars": 4}], "reject": [{"id": "p/c"}]})
    file_of(project).write_text(file_of(project).read_text().replace("p/a", "old/one").replace("p/c", "old/two"))
    state = view.json("picks")["p"]
    assert [one["id"] for one in (*state["picks"], *state["rejected"])] == ["p/a", "p/c"]
    view.post("p", {"add": [{"id": "p/a", "stars": 5}]})
    assert lines_of(project) == "- {pick: p/a, stars: 5}\n- {reject: old/two}\n"
    view.post("p", {"remove": ["p/c"]})
    assert lines_of(project) == "- {pick: p/a, stars: 5}\n"


@pytest.mark.parametrize(
    ("decision", "entry"),
    [
        ({"stars": None}, "{pick: p/a, note: keep}"),
        ({"note": ""}, "{pick: p/a, stars: 3}"),
        ({"note": None, "stars": 1}, "{pick: p/a, stars: 1}"),
        ({"note": "", "stars": None}, "{pick: p/a}"),
    ],
)
def test_stars_and_notes_are_cleared(project, view, decision, entry):
    project.write("picks/p.yaml", PICKS)
    assert view.post("p", {"add": [{"id": "p/a", **decision}]}).status_code == 200
    assert lines_of(project) == PICKS.replace("{pick: p/a, stars: 3, note: keep}", entry)


def test_a_decision_is_taken_back(project, view):
    project.write("picks/p.yaml", PICKS)
    for _ in range(2):
        state = view.post("p", {"remove": ["p/a"]}).json()
        assert (state["picks"], [one["id"] for one in state["rejected"]]) == ([], ["p/c"])
    assert "# what we liked" in file_of(project).read_text()


def test_a_note_goes_with_its_cell_from_list_to_list(project, view):
    project.write("picks/p.yaml", PICKS)
    state = view.post("p", {"reject": [{"id": "p/a"}], "add": [{"id": "p/c", "stars": 2}]}).json()
    assert state["rejected"] == [{"id": "p/a", "stars": None, "note": "keep"}]
    assert state["picks"] == [{"id": "p/c", "stars": 2, "note": ""}]


def test_decisions_at_once_are_all_written(project, view):
    with ThreadPoolExecutor(6) as pool:
        ids = [f"p/{word}" for word in "abc"]
        adding = [pool.submit(view.post, "p", {"add": [{"id": one, "stars": 2}]}) for one in ids * 2]
        assert {one.result().status_code for one in adding} == {200}
    assert sorted(one["id"] for one in view.json("picks")["p"]["picks"]) == ids


def test_a_file_that_somebody_edits_is_read_anew(project, view):
    view.post("p", {"add": [{"id": "p/a"}]})
    with view.events() as events:
        events.next("picks", lambda state: state["p"]["picks"])
        project.write("picks/p.yaml", PICKS)
        state = events.next("picks", lambda state: state["p"]["rejected"])["p"]
    assert state == view.json("picks")["p"]
    view.post("p", {"add": [{"id": "p/b"}]})
    assert lines_of(project) == PICKS.replace("droplets\n", "droplets\n- {pick: p/b}\n")


def test_other_pages_are_told_of_a_decision(view):
    with view.events() as events:
        view.post("p", {"reject": [{"id": "p/b", "note": "no"}]})
        state = events.next("picks", lambda state: state["p"]["rejected"])["p"]
    assert state["rejected"] == [{"id": "p/b", "stars": None, "note": "no"}]


# --- what is refused


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://127.0.0.1:{port}"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Host": "evil.example:{port}"}, 403),
    ],
)
def test_another_site_s_page_can_not_decide(project, view, headers, status):
    fields = {name: value.format(port=view.port) for name, value in headers.items()}
    assert view.post("p", {"add": [{"id": "p/a"}]}, **fields).status_code == status
    assert not file_of(project).exists()


def test_the_page_itself_may_decide(view):
    for origin in (f"http://127.0.0.1:{view.port}", f"http://localhost:{view.port}"):
        answer = view.post("p", {"add": [{"id": "p/a"}]}, Origin=origin, **{"Content-Type": "application/json; a=b"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        [],
        {},
        {"pick": []},
        {"add": {}},
        {"add": ["p/a"]},
        {"add": [{}]},
        {"add": [{"id": ""}]},
        {"add": [{"id": "p/a", "stars": 6}]},
        {"add": [{"id": "p/a", "stars": True}]},
        {"add": [{"id": "p/a", "note": 3}]},
        {"add": [{"id": "p/a", "more": 1}]},
        {"remove": [{"id": "p/a"}]},
    ],
)
def test_what_is_no_change_is_refused(project, view, change):
    assert said(view.post("p", change), 422) == "bad_change"
    assert not file_of(project).exists()


@pytest.mark.parametrize("body", [b"", b"{", b'{"add": [', b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(view, body):
    assert said(view.post("p", body), 400) == "bad_json"


def test_a_body_without_measure_is_refused(view):
    assert said(view.post("p", b" " * 1_100_000), 413) == "too_large"


def test_cells_and_stages_of_others_are_refused(project, view):
    assert said(view.post("p", {"add": [{"id": "p/a"}, {"id": "p/z"}]}), 422) == "unknown_cell"
    assert said(view.post("q", {"add": [{"id": "p/a"}]}), 404) == "unknown_stage"
    assert said(view.post("p", {"add": [{"id": "p/a"}], "remove": ["p/a"]}), 422) == "contradiction"
    assert not file_of(project).exists()


def test_a_file_that_is_broken_stays_as_it_is(project, view):
    broken = PICKS.replace("stars: 3", "stars: [3")
    project.write("picks/p.yaml", broken)
    assert said(view.post("p", {"add": [{"id": "p/a"}]}), 422)
    assert file_of(project).read_text() == broken
    state = view.json("picks")["p"]
    assert (state["picks"], state["rejected"]) == ([], [])
    assert "p.yaml" in state["problem"]
    assert view.get().status_code == 200


def test_a_cell_that_is_decided_twice_is_said_and_nothing_is_written(project, view):
    twice = "- {pick: p/a}\n- {reject: p/a}\n"
    project.write("picks/p.yaml", twice)
    assert "on line 1, rejected on line 2" in view.json("picks")["p"]["problem"]
    assert said(view.post("p", {"add": [{"id": "p/b"}]}), 422) == "decided_twice"
    assert file_of(project).read_text() == twice


def test_without_the_pipeline_nothing_is_written(project, view):
    (project.path / "p.yaml").unlink()
    assert said(view.post("p", {"add": [{"id": "p/a"}]}), 422) == "file_unreadable"
    assert not file_of(project).exists()
    assert "p.yaml" in view.json("picks")["p"]["problem"]


def test_a_stage_that_is_drawn_for_picks_names_their_file_and_how_many(tmp_path, served_krea):
    project = Project(tmp_path, served_krea)
    project.write("p.yaml", CHAIN)
    project.run("run", "p.yaml", "--local")
    with viewed(project) as view:
        assert view.json("picks")["draft"]["file"] == "chosen.yaml"
        assert view.post("draft", {"add": [{"id": "draft/a"}, {"id": "draft/b"}]}).status_code == 200
        before = (project.path / "chosen.yaml").read_text()
        assert said(view.post("draft", {"add": [{"id": "draft/c"}]}), 422) == "too_many"
        assert (project.path / "chosen.yaml").read_text() == before


def test_decisions_of_a_page_have_the_name_of_its_reader_and_others_are_shown(project, view):
    project.write("picks/p.yaml", "- {pick: p/b, stars: 2, by: Ada}\n")
    with viewed(project, "--as", "Ben") as page:
        assert '"reviewer": "Ben"' in page.get().text
        assert page.post("p", {"reject": [{"id": "p/b"}], "add": [{"id": "p/a", "stars": 3}]}).status_code == 200
        found = page.json("picks")["p"]
        assert [(one["id"], one["by"]) for one in found["picks"]] == [("p/a", "Ben"), ("p/b", "Ada")]
        assert [(one["id"], one["by"]) for one in found["rejected"]] == [("p/b", "Ben")]
        assert page.post("p", {"remove": ["p/b"]}).status_code == 200
    assert lines_of(project) == "- {pick: p/a, stars: 3, by: Ben}\n- {pick: p/b, stars: 2, by: Ada}\n"
