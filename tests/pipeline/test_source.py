"""From bytes to data: the loading rules that no file of text in the corpus can show, and the places of nodes."""

import codecs
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from krea_pipe.core.errors import InvalidInput
from krea_pipe.core.written import unspelled
from krea_pipe.pipeline import nodes
from krea_pipe.pipeline.nodes import MAX_NODES, MAX_YAML_DEPTH, build_nodes, resolve_scalar
from krea_pipe.pipeline.source import MAX_PIPELINE_BYTES, read_document


@pytest.fixture
def read(tmp_path):
    """Read bytes as a pipeline file."""

    def read_bytes(data):
        file = tmp_path / "a.yaml"
        file.write_bytes(data)
        return read_document(file)

    return read_bytes


def problem_of(action, *arguments):
    with pytest.raises(InvalidInput) as caught:
        action(*arguments)
    (problem,) = caught.value.problems
    return problem


def said(problem):
    return f"{problem.at.line}:{problem.at.column} {problem.code}: {problem.message}"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"version: 1\nprompt: \x00lamp\n", "2:9 binary_file: this is a binary file: byte 0x00 at offset 19"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "1:1 binary_file: this is a binary file: byte 0x89 at offset 0"),
        (b"version: 1\nprompt: caf\xe9\n", "2:12 not_utf8: this is not valid UTF-8 text: byte 0xe9 at offset 22"),
        (b"prompt: \x1b[31m\n", "1:9 not_utf8: this is not valid UTF-8 text: byte 0x1b at offset 8"),
        ("prompt: lamp".encode("utf-16"), "1:1 binary_file: this is a binary file: byte 0xff at offset 0"),
        (b"prompt: \xed\xa0\x80\n", "1:9 not_utf8: this is not valid UTF-8 text: byte 0xed at offset 8"),
    ],
    ids=["nul", "png", "latin-1", "escape", "utf-16", "surrogate"],
)
def test_bytes_that_are_no_text_are_located(read, data, expected):
    problem = problem_of(read, data)
    assert said(problem) == expected
    assert problem.hint == "a pipeline is a YAML file, saved as UTF-8"


def test_a_folder_and_a_missing_file_are_said_to_be_that(tmp_path):
    assert said(problem_of(read_document, tmp_path)) == "1:1 file_unreadable: this is a folder, not a file"
    missing = problem_of(read_document, tmp_path / "none.yaml")
    assert said(missing) == "1:1 file_unreadable: the file does not exist"


def test_a_file_above_the_limit_is_refused(read):
    problem = problem_of(read, b"#" * (MAX_PIPELINE_BYTES + 1))
    assert said(problem) == "1:1 file_too_large: a pipeline file can have at most 4,194,304 bytes"


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], ids=["libyaml", "pure Python"])
def scanner(request, monkeypatch):
    """One of PyYAML's two scanners, of which libyaml's has a limit on depth of its own in some versions."""
    if not hasattr(yaml, request.param):
        pytest.skip("this PyYAML is built without libyaml")
    monkeypatch.setattr(nodes, "_Loader", getattr(yaml, request.param))


TOO_DEEP = {  # what is opened, and the column of the 65th
    "list": ("[", 65),
    "mapping": ("{a: ", 257),
    "both": ("{a: [", 161),
    "quoted keys": ('["a":', 161),
    "block": ("- ", 129),
    "anchors": ("&a [", 257),
}


@pytest.mark.parametrize("levels", [MAX_YAML_DEPTH + 1, 1_000, 1_001, 1_024, 1_025, 50_000])
@pytest.mark.parametrize(("opener", "column"), TOO_DEEP.values(), ids=TOO_DEEP)
def test_too_many_levels_are_refused_where_they_begin_by_each_scanner(read, scanner, opener, column, levels):
    problem = problem_of(read, (opener * levels).encode())
    assert said(problem) == f"1:{column} too_deep: nested more than {MAX_YAML_DEPTH} levels deep"


def test_levels_that_are_closed_again_and_lines_of_them_are_counted_by_each_scanner(read, scanner):
    closed = "[" * 1_500 + "]" * 1_500
    long = "".join(f"a{n}: {'[' * MAX_YAML_DEPTH}{']' * MAX_YAML_DEPTH}\n" for n in range(3))
    assert said(problem_of(read, f"a: {closed}\n".encode())).startswith("1:67 too_deep: ")
    assert said(problem_of(read, "".join(f"{' ' * n}a:\n" for n in range(1_500)).encode())).startswith(
        "65:65 too_deep: "
    )
    assert said(problem_of(read, ("[\n" * 1_500).encode())).startswith("65:1 too_deep: ")
    assert said(problem_of(read, long.encode())).startswith("1:68 too_deep: ")
    fits = f"a: {'[' * (MAX_YAML_DEPTH - 1)}{']' * (MAX_YAML_DEPTH - 1)}\nb: |\n  {'[' * 2_000}\nc: '{'{' * 2_000}'\n"
    assert read(fits.encode()).problems == ()


BEFORE_DEPTH = {
    "a list as a key": ("{" + "[" * 2_000, "1:2 key_not_text"),
    "an unknown alias": ("a: [*x, " + "[" * 2_000, "1:5 unknown_alias"),
    "a second document": ("a: 1\n---\n[" + "[" * 2_000, "2:1 second_document"),
    "a line without a colon": ('k: v\n"abc" ' + "[" * 1_200, "2:1 yaml_syntax"),
    "a bad character behind it": ("a: " + "[" * 70 + "@", "1:67 too_deep"),
    "a bad escape behind it": ("a: " + "[" * 70 + '"\\q"', "1:67 too_deep"),
    "a bad character before it": ("a: [@, " + "[" * 70, "1:5 unquoted_mark"),
}


@pytest.mark.parametrize(("text", "expected"), BEFORE_DEPTH.values(), ids=BEFORE_DEPTH)
def test_the_first_mistake_of_a_text_is_told_by_each_scanner(read, scanner, text, expected):
    assert said(problem_of(read, text.encode())).startswith(f"{expected}: ")


def test_mistakes_before_a_depth_are_told_with_it_and_once(read, scanner):
    with pytest.raises(InvalidInput) as caught:
        read(b"a: 1\na: !t 2\nb: " + b"[" * 1_200)
    assert [said(problem).partition(": ")[0] for problem in caught.value.problems] == [
        "2:1 repeated_key",
        "2:4 tag",
        "3:67 too_deep",
    ]


def test_a_character_that_no_scanner_takes_is_told_by_each(scanner, tmp_path):
    problem = problem_of(build_nodes, tmp_path / "a.yaml", "a: b\nc: d\x07")
    assert said(problem) == "2:5 yaml_syntax: not valid YAML: the character U+0007 is not allowed"


def test_the_command_line_says_the_same_without_libyaml(project):
    files = {f"{name.replace(' ', '-')}.yaml": text for name, (text, _) in BEFORE_DEPTH.items()}
    files |= {f"deep-{name.replace(' ', '-')}.yaml": opener * 1_100 for name, (opener, _) in TOO_DEEP.items()}
    for name, text in files.items():
        project.write(name, text)
    start = "import sys; {}; from krea_pipe.cli.main import main; sys.argv[0] = 'krea-pipe'; main()"
    said = {}
    for what in ("pass", "sys.modules['yaml._yaml'] = None"):
        words = [sys.executable, "-c", start.format(what), "validate", *files]
        done = subprocess.run(words, cwd=project.path, env=project.environment({}), capture_output=True, timeout=60)
        said[what] = (done.returncode, done.stdout, done.stderr)
    (first, second) = said.values()
    assert first == second
    assert first[0] == 2
    assert first[2].count(b"nested more than 64 levels deep") == len(TOO_DEEP) + 2


def test_what_unfolds_without_bound_is_refused(read):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    problem = problem_of(read, "\n".join(lines).encode())
    assert problem.code == "alias_bomb"
    assert f"{MAX_NODES:,}" in problem.message


def test_repeated_and_foreign_keys_are_all_found_and_the_first_value_counts(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("a: 1\na: 2\n3: x\nb: {c: 1, c: 2}\n")
    document = read_document(file)
    assert document.data == {"a": 1, "b": {"c": 1}}
    assert [said(problem) for problem in document.problems] == [
        "2:1 repeated_key: the key `a` is already set on line 1",
        "3:1 key_not_text: a key must be text, but 3 is not",
        "4:11 repeated_key: the key `c` is already set on line 4",
    ]


@pytest.mark.parametrize("key", ["a\0b", "a\ud800b"])
def test_keys_and_values_of_no_character_are_refused(read, key):
    escaped = key.encode("unicode_escape").decode()
    assert problem_of(read, f'"{escaped}": 1\n'.encode()) if "\\u" in escaped else True
    with pytest.raises(InvalidInput):
        build_nodes_of(read, f'a: "{escaped}"\n')


def build_nodes_of(read, text):
    document = read(text.encode())
    return build_nodes(document.file, document.text)


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["no-bom", "bom"])
def test_line_ends_and_a_byte_order_mark_change_neither_data_nor_places(read, end, mark):
    lines = ["version: 1", "matrix:", "  a: [x,", "    y]", ""]
    document = read(mark + end.join(lines).encode())
    assert document.data == {"version": 1, "matrix": {"a": ["x", "y"]}}
    place = document.place(("matrix", "a", 1))
    assert (place.line, place.column, place.text) == (4, 5, "    y]")


def test_places_count_characters_and_not_bytes(read):
    place = read("a: [é🪔, b]\n".encode()).place(("a", 1))
    assert (place.line, place.column) == (1, 9)


def test_a_line_of_two_million_characters_has_places_too(read):
    document = read(b"a: '" + b"x" * 2_000_000 + b"'\nb: [1, 2]\n")
    assert str(document.place(("b", 1))).endswith(":2:8")


def test_places_of_keys_words_and_what_is_not_there(read):
    document = read(b"p: 'a {{ text.text }} b'\nm: {k: [1]}\n")
    assert document.key_place(("m", "k")).column == 5
    assert document.place(("m", "k", 7, "z")).column == 8
    assert document.word_place(("p",), "text").column == 10
    assert document.word_place(("p",), "none").column == 4


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("no", "no"),
        ("on", "on"),
        ("010", "010"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("16:9", "16:9"),
        ("190:20:30", "190:20:30"),
        ("2026-01-01", "2026-01-01"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("TRUE", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("Null", None),
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("9" * 30, int("9" * 30)),
        ("9" * 40, float("9" * 40)),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text, data):
    found = resolve_scalar(text)
    assert (found, type(unspelled(found))) == (data, type(data))


@pytest.mark.parametrize("text", ["1e999", "-1e400", "9" * 400])
def test_numbers_without_end_are_refused(text):
    with pytest.raises(ValueError, match="is too large"):
        resolve_scalar(text)


def test_the_digest_is_of_the_bytes(read):
    assert read(b"a: 1\n").digest != read(b"a:  1\n").digest
    assert read(b"a: 1\n").digest == read(b"a: 1\n").digest


def test_a_file_without_an_end_is_too_large():
    with pytest.raises(InvalidInput) as caught:
        read_document(Path("/dev/zero"))
    assert caught.value.problems[0].code == "file_too_large"
