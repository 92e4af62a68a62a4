"""`validate --staged`: which pipelines of a repository a commit is about."""

import os
import subprocess

import pytest
from krea_server import picture

GOOD = "version: 1\nprompt: a lamp\nreferences: [{image: refs/a.png}]\n"
BROKEN = "version: 1\nprompt: a lamp\nmatrix: {creativity: [rav]}\n"
OTHERS = {
    "docker-compose.yml": 'version: "3"\nservices: {web: {image: nginx, command: [a}\n',
    ".github/workflows/ci.yml": "name: ci\non: push\njobs: {a: {steps: [{run: 'echo ${{ x }}'}]}}\n",
    ".travis.yml": "version: ~> 1.0\nstages: [test, deploy]\n",
    "codefresh.yml": "version: '1.0'\nstages:\n  - clone\nsteps: {a: {image: x}}\n",
    "chart.yaml": "version: 1\n{{ if .Values.prompt }}\nstages: {{ .Values.stages }}\n",
}

GIT = {"PATH": os.environ["PATH"]}


class Repository:
    """A repository around a project's folder, with an image and a pipeline that reads it committed."""

    def __init__(self, project):
        self.project = project
        self.git("init", "-q")
        project.write("refs/a.png", picture("PNG", "red"))
        project.write("good.yaml", GOOD)
        self.commit()

    def git(self, *words):
        who = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"]
        command = ["git", *who, *words]
        done = subprocess.run(command, cwd=self.project.path, capture_output=True, text=True, check=True)
        return done.stdout

    def stage(self, **files):
        for name, text in files.items():
            self.project.write(name, text)
        self.git("add", "-A")

    def commit(self):
        self.git("add", "-A")
        self.git("commit", "-qm", "x")

    def validate(self, *words, env=()):
        return self.project.run("validate", "--staged", *words, env={**GIT, **dict(env)})


@pytest.fixture
def repository(project):
    return Repository(project)


def test_a_staged_pipeline_is_checked_and_others_are_left_alone(repository):
    repository.stage(**{"pipes/new.yaml": BROKEN, "README.md": "words"})
    done = repository.validate()
    assert done.code == 2
    assert "pipes/new.yaml:3:23: error: " in done.err
    assert "good.yaml" not in done.text


@pytest.mark.parametrize("damage", ["deleted", "cut off"])
def test_a_pipeline_is_checked_when_its_image_alone_has_changed(repository, damage):
    image = repository.project.path / "refs/a.png"
    if damage == "deleted":
        image.unlink()
    else:
        image.write_bytes(image.read_bytes()[:20])
    repository.stage()
    done = repository.validate()
    assert done.code == 2
    assert "good.yaml:3:22: error: refs/a.png " in done.err


def test_tables_picks_and_globs_bring_in_the_pipelines_that_read_them(repository):
    files = {
        "csv.yaml": 'version: 1\nprompt: "{{ r.w }}"\nmatrix: {r: {csv: data/rows.list}}\n',
        "words.yaml": 'version: 1\nprompt: "{{ w }}"\nmatrix: {w: {words: data/words.list}}\n',
        "picks.yaml": (
            "version: 1\nstages:\n  a: {prompt: x}\n"
            "  b: {for_each: a, prompt: y, picks: chosen/a.yaml, references: [{image: '{{ source.image }}'}]}\n"
        ),
        "glob.yaml": "version: 1\nprompt: a lamp\nreferences: [{image: refs/*}]\n",
        "data/rows.list": "w\none\n",
        "data/words.list": "one\n",
        "chosen/a.yaml": "stage: a\npicks: []\n",
    }
    repository.stage(**files)
    repository.commit()
    for changed, text, reader in (
        ("data/rows.list", "w,w\none,two\n", "csv.yaml"),
        ("data/words.list", "\n", "words.yaml"),
        ("chosen/a.yaml", "picks: []\n", "picks.yaml"),
        ("refs/notes.md", "not an image", "glob.yaml"),
    ):
        repository.stage(**{changed: text})
        done = repository.validate("--json")
        assert [one["file"] for one in done.json["files"] if not one["valid"]] == [reader], changed
        assert done.code == 2
        repository.git("reset", "-q", "--hard")


def test_an_image_that_only_a_table_names_brings_in_its_pipeline(repository):
    repository.stage(
        **{
            "r.csv": "name,file\na,refs/b.png\n",
            "table.yaml": "version: 1\nprompt: x\nreferences: [{image: '{{ r.file }}'}]\nmatrix: {r: {csv: r.csv}}\n",
            "refs/b.png": picture("PNG", "blue"),
        }
    )
    repository.commit()
    repository.stage(**{"refs/b.png": picture("PNG", "green")})
    files = repository.validate("--json").json["files"]
    assert [(one["file"], one["valid"]) for one in files] == [("table.yaml", True)]
    (repository.project.path / "refs/b.png").unlink()
    repository.stage()
    done = repository.validate()
    assert (done.code, "refs/b.png does not exist" in done.err) == (2, True)


def test_a_file_of_variables_brings_in_every_pipeline_that_is_checked_with_it(repository):
    repository.stage(**{"brand.yaml": "brand: Aurelle\n"})
    repository.commit()
    repository.stage(**{"brand.yaml": "[]\n"})
    assert repository.validate("--vars", "brand.yaml").code == 2
    assert repository.validate().text == "brand.yaml: skipped, because it is not a pipeline\n"


def test_a_commit_of_other_files_is_no_concern_even_while_a_pipeline_is_broken(repository):
    repository.stage(**{"old.yaml": BROKEN + 'out: "{{ creativity }}/{{ seed }}"\n'})
    repository.commit()
    repository.stage(**{"README.md": "words", "docs/a.md": "words", "src/a.py": ""})
    done = repository.validate()
    assert (done.code, done.text) == (0, "")


def test_with_nothing_staged_every_pipeline_is_checked(repository):
    repository.stage(**{"broken.yml": BROKEN})
    repository.commit()
    done = repository.validate()
    assert done.code == 2
    assert "good.yaml: valid, 1 image\n" in done.out
    assert "broken.yml:3:23: error" in done.err
    assert repository.validate("good.yaml", "refs").out == "good.yaml: valid, 1 image\n"


def test_the_yaml_of_other_programs_is_never_complained_about(repository):
    repository.stage(**OTHERS)
    done = repository.validate()
    skipped = "".join(f"{name}: skipped, because it is not a pipeline\n" for name in sorted(OTHERS))
    assert (done.code, done.out, done.err) == (0, skipped, "")


def test_a_pipeline_that_is_no_yaml_any_more_is_reported(repository):
    repository.stage(**{"torn.yaml": "version: 1\nprompt: a lamp\nmatrix: {a: [1, 2}\n"})
    done = repository.validate()
    assert done.code == 2
    assert "torn.yaml:3:" in done.err


def test_deleting_a_pipeline_or_having_none_is_fine(repository):
    repository.git("rm", "-q", "good.yaml")
    done = repository.validate()
    assert (done.code, done.text) == (0, "")
    repository.commit()
    done = repository.validate()
    assert (done.code, done.text) == (0, "")


def test_it_works_from_a_folder_below_with_names_that_are_not_plain(repository):
    repository.stage(**{"sub/ö [1] \n x.yaml": BROKEN})
    folder, repository.project.path = repository.project.path, repository.project.path / "sub"
    done = repository.validate("--json", env={"GIT_CEILING_DIRECTORIES": None})
    repository.project.path = folder
    assert [one["file"] for one in done.json["files"]] == ["ö [1] \n x.yaml"]
    assert done.code == 2


def test_outside_of_a_repository_it_says_so(project):
    done = project.run("validate", "--staged", env=GIT)
    assert done.code == 2
    assert "is not in a git repository" in done.err
    assert "specify the FILEs" in done.err


def test_without_files_and_without_staged_it_is_a_usage_error(project):
    done = project.run("validate")
    assert done.code == 2
    assert "Missing argument 'FILE...'" in done.err


def test_an_image_that_the_commit_removes_and_leaves_on_disk_is_missed(repository):
    repository.git("rm", "-q", "--cached", "refs/a.png")
    done = repository.validate()
    assert done.code == 2
    assert "refs/a.png is deleted by this commit" in done.err


def test_a_folder_that_is_not_there_does_not_turn_the_check_off(repository):
    repository.stage(**{"pipes/new.yaml": BROKEN})
    assert repository.validate("pipes").code == 2
    for name in ("pips", "p" * 300):
        done = repository.validate(name)
        assert (done.code, f"{name} does not exist" in done.err) == (2, True)


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nname: b\npromt: a lamp\n",
        "version: 1\npromt: a lamp\nmatrix: {x: [1]}\n",
        "prompt: a lamp\nmatrix: {creativity: [raw]}\n",
        "verson: 1\nprompt: a lamp\nbudget: {usd: 1}\n",
    ],
)
def test_a_file_with_two_keys_of_a_pipeline_is_checked_though_one_is_missing_or_misspelt(repository, text):
    repository.stage(**{"pipelines/b.yaml": text})
    done = repository.validate()
    assert done.code == 2
    assert "pipelines/b.yaml:" in done.err


def test_what_was_a_pipeline_in_the_last_commit_is_checked(repository):
    repository.stage(**{"good.yaml": "promt: a lamp\n"})
    done = repository.validate()
    assert (done.code, "good.yaml:1:1: error: unknown key `promt`" in done.err) == (2, True), done.text


def test_staged_files_that_are_not_pipelines_are_named_as_skipped(repository):
    repository.stage(**{"compose.yaml": "services: {web: {image: nginx}}\n"})
    done = repository.validate()
    assert (done.code, done.out) == (0, "compose.yaml: skipped, because it is not a pipeline\n"), done.text
    assert repository.validate("--json").json["files"][0]["skipped"]


@pytest.mark.parametrize("name", ["pipelines/B.YAML", "b.Yml"])
def test_the_case_of_a_suffix_hides_no_pipeline(repository, name):
    repository.stage(**{name: "version: 1\nname: b\npromt: a lamp\n"})
    done = repository.validate()
    assert (done.code, f"{name}:3:1: error: unknown key `promt`" in done.err) == (2, True), done.text


def test_a_staged_file_checks_the_pipelines_that_use_it(repository):
    repository.stage(
        **{
            "brand/base.yaml": "version: 1\nlooks: {calm: {creativity: low}}\n",
            "brand/brand.yaml": "version: 1\nuse: [base.yaml]\nvars: {a: 1}\n",
            "pipes/uses.yaml": "version: 1\nuse: ../brand/brand.yaml\nlook: calm\nprompt: a lamp\n",
            "pipes/other.yaml": "version: 1\nprompt: a lamp\n",
        }
    )
    repository.commit()
    repository.stage(**{"brand/base.yaml": "version: 1\nlooks: {quiet: {creativity: low}}\n"})
    done = repository.validate()
    assert done.code == 2
    assert "pipes/uses.yaml:3:7: error: `looks:` does not define" in done.err
    assert "brand/base.yaml: valid, definitions for other files" in done.out
    assert "other.yaml" not in done.text
    repository.git("checkout", "-q", "HEAD", "--", ".")
    repository.git("rm", "-q", "brand/base.yaml")
    assert "brand/brand.yaml:2:7: error: base.yaml does not exist" in repository.validate().err
