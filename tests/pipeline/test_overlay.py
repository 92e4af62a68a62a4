"""What stands over a file: profiles, files of variables, `--set`, and the environment that a file declares."""

import pytest

from krea_pipe.app import flow
from krea_pipe.core.errors import InvalidInput, UsageError
from krea_pipe.pipeline.spec import Overrides

PIPELINE = """\
version: 1
name: lamp
vars: {brand: Aurelle, size: 3}
env: {SEASON: autumn}
defaults: {creativity: low}
prompt: a {{ brand }} lamp of {{ size }} for {{ env.SEASON }}
matrix: {seed: {count: 3}, creativity: [raw, high]}
profiles:
  draft: {defaults: {variant: medium-turbo}, matrix: {seed: {count: 1}}, vars: {size: 1}}
  listed: {matrix: {seed: [7]}}
  thin: {sample: {method: first, n: 2}, exclude: [{creativity: raw}]}
  wrong: {defaults: {varant: large}, matrix: {seed: 3}, nope: 1, prompt: "{{ nothing }}"}
"""


@pytest.fixture
def load(tmp_path):
    """Load the pipeline with something over it."""
    file = tmp_path / "lamp.yaml"
    file.write_text(PIPELINE)
    return lambda **overrides: flow.load_pipeline(file, Overrides(**overrides))


@pytest.fixture
def requests(load):
    """The requests of the pipeline with something over it."""
    return lambda **overrides: [cell.request for cell, _ in flow.cells(load(**overrides))]


@pytest.fixture
def problems(requests):
    """What is wrong with the pipeline and what is over it, without places of files."""

    def find(error=InvalidInput, **overrides):
        with pytest.raises(error) as caught:
            requests(**overrides)
        return [(problem.code, problem.message, problem.hint) for problem in caught.value.problems]

    return find


def test_a_profile_is_merged_key_by_key_and_lists_are_replaced(requests):
    assert {(one.variant, one.seed, one.prompt) for one in requests(profiles=["draft"])} == {
        ("medium-turbo", 1, "a Aurelle lamp of 1 for autumn")
    }
    assert {one.seed for one in requests(profiles=["listed"])} == {7}
    assert [(one.seed, one.creativity) for one in requests(profiles=["thin"])] == [(1, "high"), (2, "high")]


def test_without_a_profile_none_is_looked_at(requests):
    assert len(requests()) == 6
    assert {one.variant for one in requests()} == {"medium"}


def test_a_profile_is_checked_as_a_part_of_the_file_at_its_own_place(load):
    with pytest.raises(InvalidInput) as caught:
        load(profiles=["wrong"])
    found = [(problem.code, problem.at.line) for problem in caught.value.problems]
    assert found == [("unknown_key", 12), ("wrong_type", 12), ("unknown_key", 12), ("undefined_variable", 12)]
    assert caught.value.problems[0].at.column == PIPELINE.splitlines()[11].index("varant") + 1


def test_an_unknown_profile_is_named_with_one_that_is_near(problems):
    assert problems(UsageError, profiles=["drafd"]) == [
        ("unknown_profile", "there is no profile `drafd`", "did you mean `draft`?")
    ]


def test_set_fields_are_above_everything_in_every_cell(requests):
    found = requests(sets=["creativity=medium", "seed=", "prompt=a vase"], profiles=["draft"])
    assert {(one.creativity, one.seed, one.prompt) for one in found} == {("medium", None, "a vase")}


def test_set_reaches_any_path_of_the_file_with_a_value_of_any_kind(requests):
    found = requests(sets=["vars.brand=16:9", "matrix.seed=[5, 6]", "matrix.creativity=[raw]", "vars.size=0.5"])
    assert [(one.seed, one.prompt) for one in found] == [
        (5, "a 16:9 lamp of 0.5 for autumn"),
        (6, "a 16:9 lamp of 0.5 for autumn"),
    ]
    assert len(requests(sets=["exclude=[{creativity: raw}]"])) == 3
    assert len(requests(sets=["matrix.seed.count=1"])) == 2


@pytest.mark.parametrize("text", ["nope", "=x", "a b=1", "a..b=1", ".a=1", ""])
def test_a_set_that_says_nothing_is_refused(problems, text):
    ((code, _, hint),) = problems(UsageError, sets=[text])
    assert (code, hint) == ("bad_set", "write --set path.to.key=value")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed=-1", "--set: `seed` must be a whole number from 0 to 2147483647 or null, not -1"),
        ("creativity=wild", '--set: `creativity` must be one of raw, low, medium, high, not "wild"'),
        ("references={a: 1}", "--set: `references` must be a name, a list of names, or null, not a mapping"),
    ],
)
def test_a_field_that_no_request_can_have_is_refused_in_the_words_of_a_file(problems, text, message):
    assert problems(UsageError, sets=[text])[0][:2] == ("bad_set", message)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("prompt=a poster in #ff6600", "a poster in #ff6600"),
        ("prompt=#ff6600 and black", "#ff6600 and black"),
        ('prompt="a # b #c"', "a # b #c"),
        ("vars.brand=#1", "#1"),
        ("vars.brand= #1 # 2", "#1 # 2"),
    ],
)
def test_set_has_no_comments(requests, text, prompt):
    assert {prompt in one.prompt for one in requests(sets=[text])} == {True}


def test_a_variable_that_the_file_neither_has_nor_uses_is_refused(problems, requests, tmp_path):
    message = "the file has no variable `brnd`, and no template uses it"
    expected = [("unknown_variable", message, "did you mean `vars.brand`?")]
    assert problems(sets=["vars.brnd=x"]) == expected
    (tmp_path / "v.yaml").write_text("brnd: x\nsize: 4\n")
    assert problems(var_files=[tmp_path / "v.yaml"]) == expected
    assert {one.prompt for one in requests(sets=["vars.fresh=x", "prompt='{{ fresh }}'"])} == {"x"}


def test_set_has_no_comments_inside_lists_and_mappings(requests):
    found = requests(sets=["matrix={hex: [#ff0000, a #b]}", "prompt='{{ hex }}'"])
    assert {one.prompt for one in found} == {"#ff0000", "a #b"}


def test_names_of_set_are_looked_up_and_no_line_of_the_file_is_blamed(load):
    with pytest.raises(InvalidInput) as caught:
        load(sets=["look=warm", "references=[brand]"])
    assert [(problem.at, problem.message) for problem in caught.value.problems] == [
        (None, '--set: `looks:` does not define "warm"'),
        (None, "--set: `references:` does not define `brand`"),
    ]


def test_a_value_of_set_follows_the_loading_rules(problems):
    ((code, message, hint),) = problems(UsageError, sets=["vars.brand={{ x }}"])
    assert code == "bad_set"
    assert message.startswith('the value of "vars.brand={{ x }}" cannot be read')
    assert hint == "quote the value: '{{ x }}'"


def test_takes_are_refused_when_set_gives_them_one_seed(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("version: 1\nprompt: a lamp\ndefaults: {seed: null}\ntakes: 3\n")
    assert len(list(flow.cells(flow.load_pipeline(file)))) == 3
    with pytest.raises(InvalidInput) as caught:
        flow.load_pipeline(file, Overrides(sets=["seed=4"]))
    assert caught.value.code == "takes_with_seed"


def test_files_of_variables_are_above_the_file_and_profiles_and_below_set(requests, tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("brand: One\nsize: 8\n")
    two.write_text("brand: Two\n")
    found = requests(profiles=["draft"], var_files=[one, two], sets=["vars.size=9"])
    assert {request.prompt for request in found} == {"a Two lamp of 9 for autumn"}


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("- a\n", "wrong_type", 1),
        ("a: 1\na: 2\n", "repeated_key", 2),
        ("b: {{ x }}\n", "unquoted_template", 1),
        ("a: 1\n2x: 1\n", "invalid_name", 2),
    ],
)
def test_a_wrong_file_of_variables_is_located_in_that_file(load, tmp_path, text, code, line):
    file = tmp_path / "vars.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load(var_files=[file])
    (problem,) = caught.value.problems
    assert (problem.code, problem.at.path, problem.at.line) == (code, file, line)


def test_declared_variables_come_from_the_environment_and_no_others_do(requests, problems):
    found = requests(environment={"SEASON": "winter", "HOME": "/root"})
    assert found[0].prompt == "a Aurelle lamp of 3 for winter"
    found = problems(environment={"HOME": "/root"}, sets=["prompt='{{ env.HOME }}'"])
    assert found == [("undefined_variable", "`env` has no `HOME`", "known: SEASON")]


def test_the_environment_is_data_and_no_template(requests):
    assert requests(environment={"SEASON": "{{ brand }}"})[0].prompt == "a Aurelle lamp of 3 for {{ brand }}"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("x" * 20_000, "too_long"),
        ("a\x1b[31m", "control_character"),
        ("\udc80", "control_character"),
        ("sk-1234567890abcdefghijklmnop", "secret_in_file"),
    ],
)
def test_an_environment_that_no_prompt_should_hold_is_refused(problems, value, code):
    found = problems(environment={"SEASON": value})
    assert found[0][0] == code
    assert value not in str(found)


@pytest.mark.parametrize("path", ["vars.brand", "look", "prompt"])
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(problems, path):
    secret = "sk-1234567890abcdefghijklmnop"
    found = problems(sets=[f"{path}={secret}"])
    assert "secret_in_file" in {code for code, _, _ in found}
    assert secret not in str(found)
