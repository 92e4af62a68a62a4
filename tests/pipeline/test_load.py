"""What loading a file promises beside the corpus: secrets stay out of messages, and the root of references."""

import pytest

from krea_pipe.app import flow
from krea_pipe.core.errors import InvalidInput
from krea_pipe.pipeline.spec.loading import repository_root

KEY = "3f0c9c1e-8f1b-4f0e-9f5d-2b7a1c6d4e90:abcdefghijklmnop1234"
SECRETS = [KEY, "sk-1234567890abcdefghijklmnop", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "AKIAABCDEFGHIJKLMNOP"]
SECRETS += ["Bearer abcdefghijklmnopqrstuvwx", "-----BEGIN RSA PRIVATE KEY-----"]


@pytest.fixture
def problems_of(tmp_path):
    """The problems of a text as a pipeline file."""

    def load(text):
        file = tmp_path / "a.yaml"
        file.write_text(text)
        with pytest.raises(InvalidInput) as caught:
            flow.load_pipeline(file)
        return caught.value.problems

    return load


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nprompt: a lamp\nvars: {{a: '{}'}}\n",
        "version: 1\nprompt: a lamp {{{{ x }}}} '{}'\n",
        "version: 1\nprompt: a lamp\ndefaults: {{variant: '{}', seed: -1}}\n",
        "version: 1\nprompt: a lamp\nkey: ['{}']\n",
        "version: 1\nprompt: a lamp\ndefaults: {{references: '{}'}}\n",
    ],
    ids=["value", "prompt", "wrong-value", "unknown-key", "unknown-name"],
)
def test_a_secret_is_found_anywhere_and_repeated_nowhere(problems_of, text, secret):
    found = problems_of(text.format(secret))
    assert "secret_in_file" in {problem.code for problem in found}
    for problem in found:
        assert secret not in f"{problem.message} {problem.hint} {problem.at.text}"


@pytest.mark.parametrize("text", ["a task-sk-list", "the bearer of good news", "sk-short", KEY[:36], "pk_lamp"])
def test_words_that_only_resemble_a_secret_are_left_alone(tmp_path, text):
    file = tmp_path / "a.yaml"
    file.write_text(f"version: 1\nprompt: {text}\n")
    assert flow.load_pipeline(file).pipeline.stages[0].fields["prompt"].data == text


def test_the_nearest_repository_is_the_limit_of_references(tmp_path):
    inner = tmp_path / "outer/inner/pipelines"
    inner.mkdir(parents=True)
    assert repository_root(inner / "a.yaml") == inner
    (tmp_path / "outer/.git").mkdir()
    assert repository_root(inner / "a.yaml") == tmp_path / "outer"
    (tmp_path / "outer/inner/.git").write_text("gitdir: elsewhere")  # a worktree or submodule
    assert repository_root(inner / "a.yaml") == tmp_path / "outer/inner"


def test_all_problems_of_all_kinds_come_at_once_in_the_order_of_the_file(problems_of):
    found = problems_of(
        "version: 2\nname: a b\nvars: {x: '{{ y }}'}\nprompt: a {{ z }} lamp\nprompt: b\n"
        "defaults: {seed: -1, references: [none]}\nmatrix: {a: [1, 1], b: {count: 0}}\nexclude: [{a: 3}]\n"
    )
    assert [(problem.at.line, problem.code) for problem in found] == [
        (1, "invalid_value"),
        (2, "invalid_value"),
        (3, "undefined_variable"),
        (4, "undefined_variable"),
        (5, "repeated_key"),
        (6, "out_of_range"),
        (6, "unknown_name"),
        (7, "repeated_value"),
        (7, "out_of_range"),
        (8, "matches_nothing"),
    ]
