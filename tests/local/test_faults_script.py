"""Scripts of faults: which rule takes which call, and what is said about a file that means nothing."""

import pytest

from krea_pipe.local.faults import name_call
from krea_pipe.local.script import Refuse, Reset, Script
from krea_pipe.local.script_file import MAX_BYTES, ScriptError, read_script


def script(*rules, seed=0) -> Script:
    return read_script("\n".join([f"seed: {seed}", "rules:", *(f"  - {{{rule}}}" for rule in rules)]).encode())


def taken(script, calls=10, on="submit", prompt=None) -> list[int]:
    """The numbers of the calls that something happens to."""
    return [number for number in range(1, calls + 1) if script.pick(on, prompt) is not None]


def flaws(text) -> list[tuple[int, int, str, str | None]]:
    with pytest.raises(ScriptError) as caught:
        read_script(text.encode() if isinstance(text, str) else text)
    return [tuple(flaw) for flaw in caught.value.flaws]


@pytest.mark.parametrize(
    ("selector", "numbers"),
    [
        ("", list(range(1, 11))),
        ("times: 3", [1, 2, 3]),
        ("every: 4", [4, 8]),
        ("every: 3, times: 2", [3, 6]),
        ("share: 0", []),
        ("share: 1", list(range(1, 11))),
        ("share: 1, times: 1", [1]),
    ],
)
def test_a_selector_takes_these_of_ten_calls(selector, numbers):
    assert taken(script(f"on: submit, do: 429, {selector}")) == numbers


def test_a_share_is_drawn_from_the_seed():
    first, again, other = (taken(script("on: job, do: 503, share: 0.3", seed=seed), 1000, "job") for seed in (7, 7, 8))
    assert first == again != other
    assert 250 < len(first) < 350


def test_two_shares_of_one_script_are_drawn_apart():
    one = script("on: job, do: 503, share: 0.5", "on: jobs, do: 503, share: 0.5")
    assert taken(one, 100, "job") != taken(one, 100, "jobs")


def test_the_first_rule_that_takes_a_call_acts():
    found = script("on: submit, do: 429, times: 1", "on: any, do: reset, times: 2", "on: submit, do: 500")
    assert [found.pick("submit", None) for _ in range(4)] == [Refuse(429), Reset(), Reset(), Refuse(500)]
    assert found.pick("job", None) is None
    assert found.acted == (1, 2, 1)


def test_a_prompt_selects_before_anything_is_counted():
    found = script("on: submit, do: 429, prompt: tea pot, every: 2")
    assert [found.pick("submit", prompt) is not None for prompt in ("a", None, "the tea pot", "tea pots", "b")] == [
        False, False, False, True, False,
    ]  # fmt: skip


def test_any_is_about_calls_alone():
    found = script("on: any, do: 503")
    assert taken(found, 1, "other") == taken(found, 1, "upload") == [1]
    assert taken(found, on="end") == taken(found, on="webhook") == []


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("POST /generate/image/krea/krea-2/large", "submit"),
        ("GET /jobs", "jobs"),
        ("GET /jobs/x", "job"),
        ("DELETE /jobs/x", "cancel"),
        ("POST /assets", "upload"),
        ("GET /images/x.png", "image"),
        ("GET /assets", "other"),
        ("GET /uploads/x.png", "other"),
        ("GET /", "other"),
    ],
)
def test_calls_have_names(call, name):
    assert name_call(*call.split()) == name


def test_words_that_yaml_would_read_as_something_else_are_text():
    assert script('on: submit, do: "429", prompt: no').rules == script("on: submit, do: 429, prompt: 'no'").rules
    assert script("on: submit, do: 429, prompt: 010").rules[0].prompt == "010"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("on: ^nowhere, do: 429", "`on` must be one of submit, job, jobs, cancel, upload, image, any, end, webhook,"),
        ("on: submit, do: ^399", "`do` must be one of reset, slow, truncated, corrupt, or a status from 400 to 599,"),
        ("on: submit, do: ^stuck", "`do` must be one of reset, slow, truncated, corrupt, or a status from 400 to 599,"),
        ("on: end, do: ^500", "`do` must be one of stuck, failed, empty, not '500'"),
        ("on: webhook, do: ^late", "`do` must be one of twice, missing, not 'late'"),
        ("^on: submit", "`do` is missing"),
        ("^do: 429", "`on` is missing"),
        ("on: job, do: 429, every: ^0", "`every` must be a whole number from 1 to 1,000,000,000, not '0'"),
        ("on: job, do: 429, times: ^-1", "`times` must be a whole number from 1 to 1,000,000,000, not '-1'"),
        ("on: job, do: 429, share: ^1.5", "`share` must be a number from 0 to 1, not '1.5'"),
        ("on: job, do: 429, share: ^nan", "`share` must be a number from 0 to 1, not 'nan'"),
        ("on: job, do: 429, retry_after: ^1.5", "`retry_after` must be a whole number from 0 to 86,400, not '1.5'"),
        ("on: job, do: 429, after: ^maybe", "`after` must be true or false, not 'maybe'"),
        ("on: job, do: 429, prompt: ^''", "`prompt` must be some text, not ''"),
        ("on: job, do: 429, prompt: ^[a]", "`prompt` must be one value, not a list"),
        ("on: jobs, do: 429, ^prompt: a", "`on: jobs` cannot select by `prompt`: these calls have none"),
        ("^on: job, do: slow", "`do: slow` needs `seconds`"),
        ("on: job, do: slow, seconds: ^soon", "`seconds` must be a number from 0 to 86,400, not 'soon'"),
        ("on: job, do: reset, ^seconds: 1", "`seconds` has no meaning with `do: reset`"),
        ("on: image, do: corrupt, ^after: true", "`after` has no meaning with `do: corrupt`"),
        ("on: end, do: failed, where: ^left", "`where` must be one of top, result, nowhere, not 'left'"),
        ("on: job, do: 429, ^do: 500", "`do` appears twice"),
    ],
)
def test_a_rule_that_means_nothing_is_said_with_its_place(rule, message):
    """The place is marked with a circumflex; for the rule as a whole, it is where its brace stands."""
    text = f"  - {{{rule}}}"
    place = text.index("^") - rule.startswith("^")
    [(line, column, what, _)] = flaws(f"rules:\n{text.replace('^', '')}\n")
    assert (line, column) == (2, place + 1)
    assert what.startswith(message)


def test_a_key_with_a_slip_is_told_its_name():
    [(line, column, message, hint)] = flaws("rules:\n- on: job\n  do: slow\n  seconds: 1\n  tiems: 3\n")
    assert (line, column, message) == (5, 3, "`tiems` is not a key of a rule")
    assert hint == "did you mean `times`?"


def test_every_mistake_is_told_at_once_and_in_order():
    text = "seed: x\nrules:\n  - {on: submit, do: 1, colour: red}\n  - 429\nmore: 1\n"
    assert [flaw[:2] for flaw in flaws(text)] == [(1, 7), (3, 22), (3, 25), (4, 5), (5, 1)]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "the script is empty"),
        ("# nothing\n", 1, 1, "the script is empty"),
        ("rules\n", 1, 1, "a script must be a mapping"),
        ("seed: 1\n", 1, 1, "`rules` is missing"),
        ("rules: {on: job}\n", 1, 8, "`rules` must be a list of rules"),
        ("rules:\n  - {on: submit\n", 3, 1, "this is not YAML"),
        ("rules: []\n---\nrules: []\n", 2, 1, "this is not YAML"),
        ("rules: []\nseed: \a\n", 2, 7, "this character is not allowed in YAML"),
        (b"rules: []\nseed: \xff\n", 2, 7, "this is not UTF-8 text"),
        ("[" * 65, 1, 65, "nested more than 64 levels deep"),
        ("[" * 50_000, 1, 65, "nested more than 64 levels deep"),
        ("- " * 50_000, 1, 129, "nested more than 64 levels deep"),
        ("{a: " * 50_000, 1, 257, "nested more than 64 levels deep"),
        (" " * (MAX_BYTES + 1), 1, 1, "a script can have at most 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_no_script_is_said_with_its_place(text, line, column, message):
    [(found_line, found_column, what, _)] = flaws(text)
    assert (found_line, found_column) == (line, column)
    assert what.startswith(message)


def test_a_script_may_be_without_rules():
    assert taken(read_script(b"\xef\xbb\xbfrules: []\n")) == []
