"""`plan --against`: what a change of files means for images and money, from git and the disk alone."""

import hashlib
import os
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass

import pytest
from command_line import Project
from krea_server import picture

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git on PATH")

NO_KEY = {"KREA_API_KEY": None, "PATH": os.environ["PATH"]}
LAMPS = """version: 1
name: lamps
budget: {usd: 5}
references: {look: {images: [refs/look.png]}}
stages:
  draft: {prompt: "a {{ w }} lamp", references: [look], matrix: {w: [red, blue], seed: [1, 2]}}
  final: {prompt: "a large {{ w }} lamp", variant: large, matrix: {w: [red, blue]}}
"""


@dataclass
class Repository:
    """A scratch repository around a project, whose first commit has a pipeline with six images."""

    project: Project

    def git(self, *words, folder=None):
        who = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *who, "-c", "protocol.file.allow=always", *words],
            cwd=folder or self.project.path,
            env=self.project.environment({"PATH": NO_KEY["PATH"]}) | {"GIT_CONFIG_NOSYSTEM": "1"},
            check=True,
            capture_output=True,
        )
        return done.stdout.decode().strip()

    def commit(self, **texts):
        for name, text in texts.items():
            self.project.write(name, text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")

    def edit(self, *pairs, file="p.yaml"):
        text = (self.project.path / file).read_text(encoding="utf-8")
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        self.project.write(file, text)

    def plan(self, ref="HEAD", *words, file="p.yaml", env=()):
        done = self.project.run("plan", file, f"--against={ref}", *words, env={**NO_KEY, **dict(env)})
        assert done.code == 0, done.text
        return done

    def against(self, ref="HEAD", *words, file="p.yaml", env=()):
        return self.plan(ref, "--json", *words, file=file, env=env).json

    def counts(self, ref="HEAD", *words, file="p.yaml"):
        """How many cells are new, changed, moved, gone and untouched, and the price of the requests to come."""
        totals = self.against(ref, *words, file=file)["totals"]
        return (*(totals[kind] for kind in ("new", "changed", "moved", "gone", "same")), totals["rendered"]["usd"])


@pytest.fixture
def repo(project):
    repo = Repository(project)
    repo.git("init", "--quiet", "--initial-branch", "main")
    project.write(".gitignore", ".krea-pipe/\nout/\n.cache/\n")
    project.write("refs/look.png", picture(seed="1", size=(600, 600)))
    repo.commit(**{"p.yaml": LAMPS})
    return repo


def of_kind(found, kind):
    return {row["id"]: row["reason"] for row in found["cells"] if row["kind"] == kind}


def test_edits_that_change_no_request_are_free(repo):
    repo.edit(
        ("name: lamps\n", "# lamps\nname: lamps\ndescription: all of them\n"),
        ("{w: [red, blue], seed: [1, 2]}", "{seed: [2, 1], w: [blue, red]}"),
    )
    repo.git("mv", "refs", "pictures")
    repo.edit(("refs/look.png", "pictures/look.png"))
    found = repo.against()
    assert set(of_kind(found, "moved")) | set(of_kind(found, "same")) == {row["id"] for row in found["cells"]}
    assert found["totals"]["rendered"] == {"requests": 0, "usd": "0.00"}
    assert repo.project.run("plan", "p.yaml", "--against", "HEAD", "--check", env=NO_KEY).code == 0


def test_each_change_has_its_reason_and_its_price(repo):
    repo.edit(("large {{ w }}", "huge {{ w }}"), ("w: [red, blue], seed: [1, 2]", "w: [red, green], seed: [1, 2]"))
    found = repo.against()
    assert of_kind(found, "changed") == dict.fromkeys(["final/red", "final/blue"], "prompt changed")
    assert of_kind(found, "new") == dict.fromkeys(["draft/green/s1", "draft/green/s2"], "new")
    assert of_kind(found, "gone") == dict.fromkeys(["draft/blue/s1", "draft/blue/s2"], "left out")
    assert found["totals"]["rendered"] == {"requests": 4, "usd": "0.19"}
    assert [(one["name"], one["rendered"]["usd"]) for one in found["stages"]] == [
        ("draft", "0.07"),
        ("final", "0.12"),
    ]
    said = "Re-renders 4 of 6 images for $0.19: 2 changed, 2 new; 2 gone, 2 untouched."
    assert found["headline"] == said
    done = repo.plan()
    assert said in done.out.splitlines()
    assert "final/red" in done.out
    assert "draft/red/s1" not in done.out
    assert "draft/red/s1" in repo.plan("HEAD", "--all").out
    assert repo.project.run("plan", "p.yaml", "--against", "HEAD", "--check", env=NO_KEY).code == 3


def test_a_reference_that_changed_on_the_branch_is_named(repo):
    repo.git("switch", "--quiet", "--create", "branch")
    repo.commit(**{"refs/look.png": picture(seed="2", size=(600, 600))})
    found = repo.against("main")
    assert set(of_kind(found, "changed").values()) == {"refs/look.png changed"}
    assert (found["totals"]["changed"], found["totals"]["same"]) == (4, 2)
    assert repo.counts("main..main") == (0, 0, 0, 0, 6, "0.00")


def test_a_damaged_reference_of_the_base_may_be_replaced(repo):
    whole = (repo.project.path / "refs/look.png").read_bytes()
    repo.commit(**{"refs/look.png": whole[: len(whole) // 2]})
    repo.project.write("refs/look.png", whole)
    assert set(of_kind(repo.against(), "changed").values()) == {"refs/look.png changed"}


@pytest.fixture
def library(repo, tmp_path_factory):
    """The folder of a submodule `lib` with one reference, which the pipeline of the repository uses, and the head of
    both."""
    source = tmp_path_factory.mktemp("library") / "source"
    source.mkdir()
    repo.git("init", "--quiet", "--initial-branch", "main", folder=source)
    (source / "art").mkdir()
    (source / "art/look.png").write_bytes(picture(seed="5", size=(600, 600)))
    repo.git("add", "--all", folder=source)
    repo.git("commit", "--quiet", "--message", "one", folder=source)
    repo.git("submodule", "--quiet", "add", str(source), "lib")
    repo.commit(**{"p.yaml": LAMPS.replace("refs/look.png", "lib/art/look.png")})
    return repo.project.path / "lib"


@pytest.mark.parametrize("named", ["lib/art/look.png", "lib/*/*.png", "'**/look.png'", "linked/look.png"])
def test_a_reference_may_be_in_a_submodule(repo, library, named):
    (repo.project.path / "linked").symlink_to("lib/art", target_is_directory=True)
    repo.git("rm", "--quiet", "-r", "refs")
    repo.commit(**{"p.yaml": LAMPS.replace("refs/look.png", named)})
    found = repo.against()
    assert (found["base"]["problem"], found["totals"]["same"], found["warnings"]) == (None, 6, [])
    (library / "art/look.png").write_bytes(picture(seed="6", size=(600, 600)))
    assert set(of_kind(repo.against(), "changed").values()) == {"lib/art/look.png changed"}
    repo.git("commit", "--quiet", "--all", "--message", "two", folder=library)
    repo.commit()
    found = repo.against("HEAD~1..HEAD")
    assert set(of_kind(found, "changed").values()) == {"lib/art/look.png changed"}
    assert (found["totals"]["changed"], found["totals"]["same"]) == (4, 2)


def test_a_submodule_that_is_not_checked_out_is_named(repo, library):
    repo.commit(**{"p.yaml": LAMPS})
    repo.git("submodule", "--quiet", "deinit", "--force", "lib")
    found = repo.against("HEAD~1")
    assert found["base"]["problem"]["code"] == "reference_missing"
    assert [one["code"] for one in found["warnings"]] == ["submodule_missing"]
    assert "the submodule lib is not checked out as in HEAD~1" in repo.plan("HEAD~1").text


def test_a_folder_that_only_looks_like_a_submodule_is_not_asked(repo, library):
    repo.commit(**{"p.yaml": LAMPS})
    (library / ".git").unlink()
    repo.git("init", "--quiet", folder=library)
    repo.git("config", "core.fsmonitor", "touch ran", folder=library)
    assert [one["code"] for one in repo.against("HEAD~1")["warnings"]] == ["submodule_missing"]


def test_a_request_that_several_cells_share_is_priced_once(repo):
    repo.edit(("large {{ w }}", "huge {{ w }}"))
    text = (repo.project.path / "p.yaml").read_text(encoding="utf-8")
    repo.project.write("p.yaml", text + text.splitlines()[-1].replace("final:", "again:") + "\n")
    found = repo.against()
    assert found["totals"]["rendered"] == {"requests": 2, "usd": "0.12"}
    assert (found["totals"]["new"], found["totals"]["changed"]) == (2, 2)
    assert "(2 requests) for $0.12" in found["headline"]


def test_a_stage_or_a_file_under_another_name_costs_nothing(repo):
    repo.edit(("  draft:", "  sketch:"))
    found = repo.against()
    assert of_kind(found, "moved")["sketch/red/s1"] == "was draft/red/s1"
    assert repo.counts() == (0, 0, 4, 0, 2, "0.00")
    repo.commit()
    repo.git("mv", "p.yaml", "q.yaml")
    found = repo.against(file="q.yaml")
    assert (found["base"]["file"], found["totals"]["same"]) == ("p.yaml", 6)
    assert "where it is p.yaml" in repo.plan(file="q.yaml").out


def test_two_dots_compare_commits_and_three_leave_out_what_the_base_got_since(repo):
    repo.git("switch", "--quiet", "--create", "branch")
    repo.edit(("large {{ w }}", "huge {{ w }}"))
    repo.commit()
    repo.git("switch", "--quiet", "main")
    repo.edit(("a {{ w }} lamp", "an old {{ w }} lamp"))
    repo.commit()
    repo.edit(("variant: large", "variant: medium"))
    assert repo.counts("main..branch") == (0, 6, 0, 0, 0, "0.26")
    assert repo.counts("main...branch") == (0, 2, 0, 0, 4, "0.12")
    assert repo.counts("branch...") == (0, 6, 0, 0, 0, "0.20")
    assert repo.counts("main..") == repo.counts("main") == (0, 2, 0, 0, 4, "0.06")
    found = repo.against("main...branch")
    assert (found["base"]["name"], found["base"]["commit"]) == ("main...branch", repo.git("rev-parse", "main~1"))
    assert found["head"] == {"name": "branch", "commit": repo.git("rev-parse", "branch")}


def test_a_base_without_the_file_or_with_a_broken_one_counts_as_nothing(repo):
    repo.commit(**{"new.yaml": LAMPS, "p.yaml": "version: 1\nprompt: [\n"})
    assert "new.yaml is not in HEAD~1" in repo.plan("HEAD~1", file="new.yaml").out
    assert repo.counts("HEAD~1", file="new.yaml")[0] == 6
    repo.project.write("p.yaml", LAMPS)
    found = repo.against()
    assert found["totals"]["new"] == 6
    assert found["base"]["problem"]["at"].startswith("HEAD:p.yaml:")
    line = next(one for one in repo.plan().out.splitlines() if "counts as new" in one)
    assert line.startswith("The base cannot be used, so everything counts as new: HEAD:p.yaml:")
    assert "counts as new: HEAD:p.yaml:" in repo.plan("HEAD", "--format", "markdown").out


def test_a_head_that_does_not_load_is_an_error_at_its_place(repo):
    repo.commit(**{"p.yaml": LAMPS.replace("refs/look.png", "refs/lost.png")})
    done = repo.project.run("plan", "p.yaml", "--against", "HEAD~1", env=NO_KEY)
    assert (done.code, "\np.yaml:4:" in f"\n{done.err}", "lost.png does not exist" in done.err) == (2, True, True)
    done = repo.project.run("plan", "p.yaml", "--against", "HEAD~1..HEAD", env=NO_KEY)
    assert (done.code, "HEAD:p.yaml:4:" in done.err, "lost.png does not exist" in done.err) == (2, True, True)
    assert "looked in refs" in done.err
    gone = repo.project.run("plan", "none.yaml", "--against", "HEAD", env=NO_KEY)
    assert (gone.code, "none.yaml: error: the file does not exist" in gone.err) == (2, True)


def test_picks_and_tables_are_those_of_the_commit(repo):
    text = """version: 1
stages:
  a: {prompt: "{{ row.text }}", matrix: {row: {csv: ../data/*.csv}}}
  b: {for_each: a, picks: {file: picks/a.yaml, min: 1}, prompt: "more {{ source.prompt }}"}
"""
    repo.commit(**{"sub/p.yaml": text, "data/rows.csv": "id,text\nx,one\ny,two\n"})
    repo.commit(**{"sub/picks/a.yaml": "stage: a\npicks: [a/x]\n", "data/rows.csv": "id,text\nx,one\ny,2\n"})
    found = repo.against("HEAD~1", file="sub/p.yaml")
    assert {row["id"]: row["kind"] for row in found["cells"]} == {"a/x": "same", "a/y": "changed", "b/x": "new"}
    (repo.project.path / "sub/picks/a.yaml").unlink()
    found = repo.against("HEAD", file="sub/p.yaml")
    assert of_kind(found, "gone") == {"b/x": "its stage waits for picks"}
    assert [one["stage"] for one in found["waiting"]] == ["b"]
    assert repo.project.run("plan", "sub/p.yaml", "--against", "HEAD", "--check", env=NO_KEY).code == 6
    assert repo.counts("HEAD~1..HEAD", file="sub/p.yaml") == (1, 1, 0, 0, 1, "0.06")


def test_files_are_found_as_in_the_work_tree_through_links_and_odd_names(repo):
    look = picture(seed="3", size=(600, 600))
    for name in ("art/a.png", "art/deep/b.png", "art/[c] d.png", "häuser/e.png"):
        repo.project.write(name, look + name.encode())
    (repo.project.path / "art/linked.png").symlink_to("../häuser/e.png")
    (repo.project.path / "brand").symlink_to("art", target_is_directory=True)
    (repo.project.path / "outside").symlink_to("../..", target_is_directory=True)
    patterns = (
        "art/*.png",
        "brand/**/b.png",
        "brand/a.png",
        "ar?/linked.png",
        "brand/../häuser/e.png",
        "b*/deep/b.png",
    )
    line = '  s{}: {{prompt: x, references: [{{image: "{}"}}]}}\n'
    stages = "".join(line.format(number, one) for number, one in enumerate(patterns))
    repo.commit(**{"la*[1].yaml": f"version: 1\nstages:\n{stages}"})
    repo.commit()
    assert repo.counts("HEAD", file="la*[1].yaml") == (0, 0, 0, 0, len(patterns), "0.00")
    shutil.rmtree(repo.project.path / "art")
    (repo.project.path / "brand").unlink()
    found = repo.against("HEAD..HEAD", file="la*[1].yaml")
    assert (found["totals"]["same"], found["base"]["problem"]) == (len(patterns), None)


def test_untracked_files_are_no_part_of_the_base(repo):
    repo.commit(**{"p.yaml": LAMPS.replace("refs/look.png", "refs/*.png")})
    repo.project.write("refs/more.png", picture(seed="4", size=(600, 600)))
    assert set(of_kind(repo.against(), "changed").values()) == {"refs/more.png changed"}


def test_profiles_and_set_hold_for_both_states(repo):
    repo.edit(("large {{ w }}", "huge {{ w }}"))
    assert repo.counts("HEAD", "--set", "variant=medium-turbo")[5] == "0.03"
    repo.edit(("name: lamps\n", "name: lamps\nprofiles: {cheap: {defaults: {resolution: 1K}}}\n"))
    found = repo.against("HEAD", "--profile", "cheap")
    assert (found["totals"]["new"], "cheap" in found["base"]["problem"]["message"]) == (6, True)


def test_what_the_store_has_is_said_and_not_paid(repo):
    assert repo.project.run("run", "p.yaml").code == 0
    repo.edit(("large {{ w }}", "huge {{ w }}"), ("w: [red, blue]}", "w: [red]}"))
    repo.commit()
    assert repo.project.run("run", "p.yaml").code == 0
    repo.edit(("w: [red]}", "w: [red, blue]}"))
    done = repo.plan("HEAD~1")
    assert "1 already stored, so a run would cost $0.06." in done.out
    found = repo.against("HEAD~1")["totals"]
    assert (found["rendered"]["usd"], found["stored"]["usd"], found["unpaid"]["usd"]) == ("0.12", "0.06", "0.06")
    assert repo.project.run("plan", "p.yaml", "--against", "HEAD~1", "--check", env=NO_KEY).code == 3
    repo.edit(("w: [red, blue]}", "w: [red]}"))
    assert repo.project.run("plan", "p.yaml", "--against", "HEAD~1", "--check", env=NO_KEY).code == 0


def test_nothing_is_sent_written_left_behind_or_run(repo, tmp_path_factory, monkeypatch):
    """Neither a filter nor a monitor that the repository's configuration names, though both would be used by git."""
    ran, folder = repo.project.path / "ran", tmp_path_factory.mktemp("temporary")
    program = repo.project.write(".cache/program", f"#!/bin/sh\ntouch '{ran}'\ncat\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    repo.commit(**{".gitattributes": "*.png filter=odd\n"})
    repo.project.write("refs/look.png", picture(seed="5", size=(600, 600)))
    repo.git("config", "core.fsmonitor", str(program))
    repo.git("config", "filter.odd.smudge", str(program))
    os.utime(repo.project.path / ".gitignore", (1, 1))  # git would note that it is the same as before
    index = (repo.project.path / ".git/index").read_bytes()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    ran.unlink(missing_ok=True)
    before = {str(one): one.lstat().st_ctime_ns for one in repo.project.path.rglob("*")}
    assert repo.project.krea.seen == []
    for ref in ("HEAD", "HEAD~1..HEAD"):
        repo.against(ref)
    assert not ran.exists()
    assert repo.project.krea.seen == []
    assert list(folder.iterdir()) == []
    assert {str(one): one.lstat().st_ctime_ns for one in repo.project.path.rglob("*")} == before
    assert (repo.project.path / ".git/index").read_bytes() == index


def test_a_partial_clone_fetches_nothing(repo, tmp_path):
    repo.commit(**{"p.yaml": LAMPS.replace("refs/look.png", "refs/*.png"), "refs/z.png": picture(size=(600, 600))})
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.commit(**{"p.yaml": LAMPS, "refs/z.png": "no picture"})
    repo.git("clone", "--quiet", "--filter=blob:none", f"file://{repo.project.path}", "part")
    done = repo.project.run("plan", "part/p.yaml", "--against", "HEAD~1", env=NO_KEY)
    assert done.code == 0, done.text
    assert "lacks the content of 1 file of HEAD~1" in done.err
    assert "so everything counts as new" in done.out
    objects = repo.git("count-objects", "-v", folder=repo.project.path / "part")
    assert repo.project.run("plan", "part/p.yaml", "--against", "HEAD~1", env=NO_KEY).code == 0
    assert repo.git("count-objects", "-v", folder=repo.project.path / "part") == objects


def pointer_to(data):
    digest = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(data)}\n"


def test_a_pointer_of_git_lfs_stands_for_its_image_in_a_plan_alone(repo):
    old, new = (picture(seed=seed, size=(600, 600)) for seed in "67")
    repo.commit(**{"refs/look.png": pointer_to(old)})
    repo.project.write("refs/look.png", old)  # as `git lfs pull` leaves it
    assert repo.counts() == (0, 0, 0, 0, 6, "0.00")
    repo.commit(**{"refs/look.png": pointer_to(new)})
    found = repo.against("HEAD~1")
    assert set(of_kind(found, "changed").values()) == {"refs/look.png changed"}
    assert [one["code"] for one in found["warnings"]] == ["lfs_pointer"]
    for words in (["--local"], []):
        done = repo.project.run("run", "p.yaml", *words)
        assert (done.code, "git lfs pull" in done.err) == (2, True), done.text
    assert repo.project.krea.seen == []


def test_a_table_in_git_lfs_is_read_from_where_git_lfs_keeps_it(repo):
    table = b"id,text\nx,one\n"
    text = 'version: 1\nprompt: "{{ row.text }}"\nmatrix: {row: {csv: rows.csv}}\n'
    repo.commit(**{"t.yaml": text, "rows.csv": pointer_to(table)})
    done = repo.project.run("plan", "t.yaml")
    assert (done.code, "t.yaml:3:" in done.err, "git lfs pull" in done.err) == (2, True, True)
    repo.project.write("rows.csv", table)
    assert "so everything counts as new" in repo.plan(file="t.yaml").out
    digest = hashlib.sha256(table).hexdigest()
    repo.project.write(f".git/lfs/objects/{digest[:2]}/{digest[2:4]}/{digest}", table)
    assert repo.counts(file="t.yaml") == (0, 0, 0, 0, 1, "0.00")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--against", "nowhere"], "git does not know the commit nowhere"),
        (["--against", "feature"], "did you mean origin/feature?"),
        (["--against=--output=x"], "git does not know the commit --output=x"),
        (["--against", "HEAD..-x"], "git does not know the commit -x"),
        (["--against", "^HEAD"], "git does not know the commit ^HEAD"),
        (["--against", "a\nb"], "git does not know the commit"),
        (["--against", "HEAD:p.yaml"], "git does not know the commit"),
        (["--against", "HEAD...lone"], "no commit in common"),
        (["--against", "HEAD", "--local"], "--local and --against cannot be combined"),
        (["--against", "HEAD", "--max-new", "0"], "--max-new and --against cannot be combined"),
        (["--against", "HEAD", "-k", "red"], "-k and --against cannot be combined"),
        (["--against", "HEAD", "--json", "--format", "markdown"], "cannot be combined"),
        (["--format", "markdown"], "add --against REF"),
    ],
)
def test_what_can_not_be_compared_is_refused_with_what_to_do(repo, words, said):
    repo.git("update-ref", "refs/remotes/origin/feature", "HEAD")
    repo.git("update-ref", "refs/heads/lone", repo.git("commit-tree", "-m", "lone", "HEAD^{tree}"))
    done = repo.project.run("plan", "p.yaml", *words, env=NO_KEY)
    assert done.code == 2
    assert said in done.text
    assert "hint" in done.text


def test_a_shallow_clone_and_a_folder_outside_git_say_what_to_do(repo):
    repo.commit()
    repo.git("clone", "--quiet", "--depth=1", f"file://{repo.project.path}", "shallow")
    done = repo.project.run("plan", "shallow/p.yaml", "--against", "HEAD~1", env=NO_KEY)
    assert (done.code, "git fetch origin" in done.err) == (2, True)
    shutil.rmtree(repo.project.path / ".git")
    done = repo.project.run("plan", "p.yaml", "--against", "HEAD", env=NO_KEY)
    assert (done.code, "p.yaml is not in a git repository" in done.err) == (2, True)
    done = repo.project.run("plan", "p.yaml", "--against", "HEAD", env={**NO_KEY, "PATH": str(repo.project.path)})
    assert (done.code, "git is not installed" in done.err) == (2, True)


def test_a_hook_s_variables_do_not_lead_to_another_repository(repo):
    other = repo.project.path / "other"
    repo.git("init", "--quiet", str(other))
    environment = {"GIT_DIR": str(other / ".git"), "GIT_INDEX_FILE": str(other / "index"), "GIT_WORK_TREE": str(other)}
    assert repo.against(env=environment)["totals"]["same"] == 6


def test_markdown_is_found_again_and_holds_what_a_reviewer_asks(repo):
    repo.edit(("  draft:", "  sketch:"), ("large {{ w }}", "huge {{ w }}"), ("w: [red, blue]}", "w: [red, green]}"))
    text = repo.plan("HEAD", "--format", "markdown").out
    lines = text.splitlines()
    assert lines[0] == "<!-- krea-pipe plan p.yaml -->"
    assert "**Re-renders 2 of 6 images for $0.12: 1 changed, 1 new; 4 moved (free), 1 gone.**" in lines
    assert "| `final/red` | changed | `prompt: a [-large-]{+huge+} red lamp` | $0.06 |" in lines
    assert "<details><summary>4 moved (free)</summary>" in lines
    assert "| `sketch/red/s1` | `was draft/red/s1` |" in lines
    assert "<details><summary>1 gone</summary>" in lines
    (repo.project.path / "sub").mkdir()
    assert repo.plan("HEAD", "--format", "markdown", file="./sub/../p.yaml").out.splitlines()[0] == lines[0]


def test_markdown_stays_short_and_inert_whatever_names_say(repo):
    name = "refs/--><img src=x onerror=y>|@everyone`` <!-- [a](http:x) $x$ \u202e.png"
    hostile = "a--><script>`|@all.yaml"
    words = ", ".join(f"w{number}" for number in range(3000))
    repo.project.write(name, picture(seed="8", size=(600, 600)))
    text = f"version: 1\nreferences: [{{image: 'refs/*.png'}}]\nprompt: '{{{{ w }}}}'\nmatrix: {{w: [{words}]}}\n"
    repo.commit(**{hostile: text})
    repo.project.write(name, picture(seed="9", size=(600, 600)))
    text = repo.plan("HEAD", "--format", "markdown", file=hostile).out
    assert len(text) < 60_000
    assert "… and 2,960 more" in text
    lines = text.splitlines()
    assert re.fullmatch(r"<!-- krea-pipe plan ((?!--|>).)* -->", lines[0])
    assert "\u202e" not in text
    rows = [line for line in lines if line.startswith("| ") and "w7" in line]
    assert len(rows) == 1
    for line in [*lines[1:]]:
        bare = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)
        assert not re.search(r"[<@$\[`]", bare.replace("$0", "").replace("$105", "")), line
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 5


def test_the_same_files_give_the_same_bytes(repo, tmp_path_factory):
    repo.edit(("large {{ w }}", "huge {{ w }}"), ("  draft:", "  sketch:"))
    repo.commit()
    outs = set()
    for seed in ("1", "2"):
        env = {**NO_KEY, "PYTHONHASHSEED": seed, "TMPDIR": str(tmp_path_factory.mktemp("t"))}
        outs.add(repo.project.spawn("plan", "p.yaml", "--against=HEAD~1..HEAD", "--json", env=env).out)
    assert len(outs) == 1
    assert os.fsdecode(repo.project.path) not in outs.pop()


def test_a_hostile_tree_puts_nothing_outside_of_its_folder(repo, tmp_path_factory):
    """A tree in which one name is a link and a folder, and one leads upwards, as no git makes it by itself."""
    outside = tmp_path_factory.mktemp("outside")

    def tree(*entries):
        raw = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(one) for mode, name, one in entries)
        file = repo.project.write(".cache/raw", raw)
        return repo.git("hash-object", "-w", "-t", "tree", "--literally", str(file))

    def blob(data):
        return repo.git("hash-object", "-w", str(repo.project.write(".cache/raw", data)))

    pipeline = 'version: 1\nprompt: x\nreferences: [{image: "*/evil.png"}]\n'
    folder = tree(("100644", "evil.png", blob(picture(size=(600, 600)))))
    link = ("120000", "a", blob(str(outside).encode()))
    top = tree(("40000", "..", folder), link, ("40000", "a", folder), ("100644", "p.yaml", blob(pipeline.encode())))
    done = repo.plan(repo.git("commit-tree", "-m", "hostile", top))
    assert "counts as new" in done.out
    assert list(outside.iterdir()) == []


def test_a_file_that_git_is_told_not_to_look_at_is_read_from_the_commit(repo):
    repo.commit()
    file = repo.project.path / "p.yaml"
    before = file.read_text()
    file.write_text(before.replace("version: 1", "version: 1\ndefaults: {creativity: high}"))
    repo.commit()
    file.write_text(before)
    repo.git("update-index", "--assume-unchanged", "p.yaml")
    assert repo.against("HEAD~1..HEAD")["totals"]["changed"] == 6


def test_a_used_file_is_that_of_the_commit(repo):
    brand = "version: 1\nvars: {w: red}\nreferences: {look: {images: [../refs/look.png]}}\n"
    pipeline = "version: 1\nuse: ../brand/b.yaml\nprompt: a {{ w }} lamp\nreferences: [look]\n"
    repo.commit(**{"brand/b.yaml": brand, "pipes/p.yaml": pipeline})
    repo.commit(**{"brand/b.yaml": brand.replace("red", "blue")})
    assert of_kind(repo.against("HEAD~1", file="pipes/p.yaml"), "changed") == {"p": "prompt changed"}
    assert repo.counts("HEAD", file="pipes/p.yaml") == (0, 0, 0, 0, 1, "0.00")
    repo.git("mv", "brand", "house")
    repo.edit(("../brand/", "../house/"), file="pipes/p.yaml")
    assert repo.counts("HEAD", file="pipes/p.yaml") == (0, 0, 0, 0, 1, "0.00")
