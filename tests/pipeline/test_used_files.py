"""`use:`: definitions of other files, their places, paths and limits."""

import pytest
from krea_server import picture

WORDS = {
    "vars": "vars: {season: autumn, brand: Aurelle}\n",
    "defaults": "defaults: {creativity: low, aspect_ratio: 4:5}\n",
    "prompts": "prompts: {hero: '{{ product.text }} by {{ brand }} in {{ season }}'}\n",
    "references": "references: {ink: {image: refs/ink.png, strength: 0.4}, all: {images: [refs/*.png]}}\n",
    "moodboards": "moodboards: {mood: {id: 3f0c9c1e-8f1b-4f0e-9f5d-2b7a1c6d4e90}}\n",
    "styles": "styles: {house: {id: st_8Qd1}}\n",
    "looks": (
        "looks:\n"
        "  warm: {references: [ink], moodboard: mood}\n"
        "  cold: {styles: [house], references: [{image: refs/gold.png}]}\n"
    ),
    "axes": "axes: {product: {csv: products.csv}, crop: {words: crops.txt}, photo: {glob: refs/*.png}}\n",
    "profiles": "profiles: {draft: {defaults: {variant: medium-turbo, references: [all]}}}\n",
}
OWN = "prompt: hero\nmatrix: {product: all, crop: all, look: all}\npatch: [{when: {crop: wide}, set: {intensity: 5}}]\n"


@pytest.fixture
def brand(project):
    """A brand's folder with everything that can be used."""
    for name in ("ink", "gold"):
        project.write(f"brand/refs/{name}.png", picture(seed=name, size=(600, 600)))
    project.write("brand/products.csv", "id,text\nlamp,a lamp\nvase,a vase\n")
    project.write("brand/crops.txt", "wide\ntall\n")
    (project.path / ".git").mkdir()
    return project


def requests(project, file, *words):
    """The stage-less ids, keys and paths of all cells."""
    done = project.run("expand", file, "--json", *words, env={"KREA_API_KEY": None})
    assert done.code == 0, done.text
    return {cell["id"].partition("/")[2]: cell["key"] for cell in done.json["cells"]}


def messages(project, file="p.yaml"):
    done = project.run("validate", file)
    assert done.code == 2, done.text
    return [line for line in done.err.splitlines() if ": error: " in line]


@pytest.mark.parametrize("words", [(), ("--profile", "draft")], ids=["plain", "profile"])
@pytest.mark.parametrize("moved", [*WORDS, "all"])
def test_moving_definitions_into_a_used_file_changes_no_key(brand, moved, words):
    inside = "".join(text for name, text in WORDS.items() if moved in (name, "all"))
    kept = "".join(text for name, text in WORDS.items() if moved not in (name, "all"))
    brand.write("brand/whole.yaml", "version: 1\n" + "".join(WORDS.values()) + OWN)
    brand.write("brand/words.yaml", "version: 1\n" + inside)
    brand.write("brand/beside.yaml", "version: 1\nuse: [words.yaml]\n" + kept + OWN)
    expected = requests(brand, "brand/whole.yaml", *words)
    assert len(expected) == 8
    assert requests(brand, "brand/beside.yaml", *words) == expected
    if moved == "all":
        brand.write("pipes/away.yaml", "version: 1\nuse: ../brand/words.yaml\n" + OWN)
        assert requests(brand, "pipes/away.yaml", *words) == expected


def test_the_file_itself_wins_and_then_the_later_one(brand):
    brand.write("base.yaml", "version: 1\nvars: {a: 1, b: 1, c: 1, d: 1}\ndefaults: {movement: 1, intensity: 1}\n")
    brand.write("one.yaml", "version: 1\nuse: [base.yaml]\nvars: {b: 2, c: 2}\nlooks: {x: {complexity: 1}}\n")
    brand.write("two.yaml", "version: 1\nuse: [base.yaml]\nvars: {c: 3}\nlooks: {x: {intensity: 3}}\n")
    text = "version: 1\nuse: [one.yaml, two.yaml]\nvars: {d: 4}\ndefaults: {movement: 4}\nlook: x\nprompt: "
    brand.write("p.yaml", text + "'{{ a }}{{ b }}{{ c }}{{ d }}'\n")
    (cell,) = brand.run("expand", "p.yaml", "--json").json["cells"]
    request = cell["request"]
    assert request["prompt"] == "1234"
    assert [request[name] for name in ("movement", "intensity", "complexity")] == [4, 3, 0]


def test_a_variable_of_the_file_itself_is_read_by_variables_of_used_files(brand):
    brand.write("base.yaml", "version: 1\nvars: {season: autumn, claim: '{{ season }} sale'}\n")
    brand.write("p.yaml", "version: 1\nuse: base.yaml\nvars: {season: winter}\nprompt: '{{ claim }}'\n")
    assert brand.run("expand", "p.yaml", "--json").json["cells"][0]["request"]["prompt"] == "winter sale"


def test_a_path_counts_from_its_file_and_a_single_expression_from_the_pipeline(brand):
    brand.write("brand/b.yaml", f"version: 1\n{WORDS['axes']}references: {{shot: {{image: '{{{{ photo.path }}}}'}}}}\n")
    brand.write("pipes/refs/own.png", picture(seed="own", size=(600, 600)))
    brand.write("pipes/p.yaml", "version: 1\nuse: ../brand/b.yaml\nmatrix: {photo: all}\nprompt: '{{ photo.name }}'\n")
    brand.write(
        "pipes/p.yaml",
        (brand.path / "pipes/p.yaml").read_text() + "references: [shot, {image: refs/own.png}]\n",
    )
    plan = brand.run("plan", "pipes/p.yaml", "--json", "--max-cost", "1", env={"KREA_API_KEY": None}).json
    cells = brand.run("expand", "pipes/p.yaml", "--json").json["cells"]
    assert [len(cell["request"]["image_style_references"]) for cell in cells] == [2, 2]
    assert len({one["image"] for cell in cells for one in cell["request"]["image_style_references"]}) == 3
    assert len(plan["cells"]) == 2


def test_explain_names_the_used_file(brand):
    brand.write("brand/words.yaml", "version: 1\n" + "".join(WORDS.values()))
    brand.write("pipes/p.yaml", "version: 1\nuse: ../brand/words.yaml\n" + OWN)
    done = brand.run("explain", "pipes/p.yaml", "lamp/wide/warm")
    for place in ("brand/words.yaml:3:24", "brand/words.yaml:4:17", "brand/words.yaml:2:16", "pipes/p.yaml:5:47"):
        assert place in done.out


def test_only_the_file_itself_is_told_what_nothing_uses(brand):
    brand.write("brand/words.yaml", "version: 1\n" + "".join(WORDS.values()))
    brand.write("p.yaml", "version: 1\nuse: brand/words.yaml\nvars: {mine: 1}\nlooks: {own: {}}\nprompt: a lamp\n")
    done = brand.run("validate", "p.yaml")
    assert [line.partition(": warning: ")[2] for line in done.err.splitlines() if ": warning: " in line] == [
        "no stage uses `own` of `looks:`",
        "nothing uses the variable `mine`",
    ]


@pytest.mark.parametrize(
    ("use", "files", "expected"),
    [
        ("none.yaml", {}, "p.yaml:2:6: error: none.yaml does not exist"),
        ("[none.yaml, nor.yaml]", {}, "p.yaml:2:7: error: none.yaml does not exist"),
        ("../x.yaml", {}, "p.yaml:2:6: error: ../x.yaml leads outside the repository"),
        ("/etc/passwd", {}, "p.yaml:2:6: error: /etc/passwd is absolute"),
        ("3", {}, "p.yaml:2:6: error: `use` must be a list, not 3"),
        ("[3]", {}, "p.yaml:2:7: error: `use` item 1 must be text, not 3"),
        ("[]", {}, "p.yaml:2:6: error: `use` is empty"),
        ("p.yaml", {}, "p.yaml:2:6: error: the files use each other: p.yaml → p.yaml"),
        (
            "a.yaml",
            {"a.yaml": "use: b.yaml", "b.yaml": "use: [a.yaml]"},
            "b.yaml:2:7: error: the files use each other: ",
        ),
        ("a.yaml", {"a.yaml": "refrences: {}"}, "a.yaml:2:1: error: unknown key `refrences`"),
        ("a.yaml", {"a.yaml": "vars: {a: '{{ b }}'}"}, "a.yaml:2:15: error: `b` is not defined"),
        ("a.yaml", {"a.yaml": "vars: {a: 1, a: 2}"}, "a.yaml:2:14: error: the key `a` is already set on line 2"),
        ("a.yaml", {"a.yaml": "axes: {w: {csv: no.csv}}"}, "a.yaml:2:17: error: no.csv does not exist"),
        ("a.yaml", {"a.yaml": "vars: {a: [}"}, "a.yaml:2:12: error: "),
        ("a.yaml", {"a.yaml": "references: {x: {image: no.png}}"}, "a.yaml:2:25: error: no.png does not exist"),
        (
            "a.yaml",
            {"a.yaml": f"vars: {{a: {'AK' + 'IA' + 'QRSTUVWXYZABCDEF'}}}"},
            "a.yaml:2:11: error: this value looks like",
        ),
    ],
)
def test_an_error_is_in_the_file_that_has_it(brand, use, files, expected):
    brand.write("p.yaml", f"version: 1\nuse: {use}\nprompt: a lamp {{{{ w }}}}\nlook: x\nmatrix: {{w: all}}\n")
    for name, text in files.items():
        brand.write(name, f"version: 1\n{text}\n")
    assert messages(brand)[0].startswith(expected) or expected in "\n".join(messages(brand))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n", "a.yaml:1:1: error: a used file must be a mapping"),
        ("vars: {a: 1}\n", "a.yaml:1:1: error: a used file must have `version: 1`"),
        ("version: 2\n", "a.yaml:1:10: error: a used file must have `version: 1`"),
        ("", "a.yaml:1:1: error: the file is empty"),
    ],
)
def test_a_used_file_is_one_of_ours(brand, text, expected):
    brand.write("p.yaml", "version: 1\nuse: a.yaml\nprompt: a lamp\n")
    brand.write("a.yaml", text)
    assert messages(brand)[0].startswith(expected)


def test_depth_and_number_of_files_have_limits(brand):
    for number in range(60):
        brand.write(f"d{number}.yaml", f"version: 1\nuse: d{number + 1}.yaml\n")
        brand.write(f"w/{number}.yaml", "version: 1\nvars: {a: 1}\n")
    brand.write("p.yaml", "version: 1\nuse: d0.yaml\nprompt: a lamp\n")
    assert messages(brand) == ["d7.yaml:2:6: error: files use each other more than 8 levels deep"]
    brand.write("p.yaml", "version: 1\nuse: w/*.yaml\nprompt: a lamp\n")
    assert messages(brand) == ["p.yaml:2:6: error: a pipeline can use at most 50 files"]


def test_a_file_without_stages_is_a_library(brand):
    brand.write("b.yaml", "version: 1\nvars: {a: 1}\nlooks: {x: {}}\n")
    done = brand.run("validate", "b.yaml", "--json")
    assert (done.code, done.json["files"][0]["library"], done.json["files"][0]["warnings"]) == (0, True, [])
    for command in ("plan", "expand", "run"):
        done = brand.run(command, "b.yaml")
        assert (done.code, "b.yaml:1:1: error: this file has only definitions" in done.err) == (2, True)


@pytest.mark.parametrize("key", ["extends", "imports", "include"])
def test_the_words_of_other_tools_lead_to_use(brand, key):
    brand.write("p.yaml", f"version: 1\n{key}: brand.yaml\nprompt: a lamp\n")
    assert "`use: [brand.yaml]`" in brand.run("validate", "p.yaml").err


def test_a_key_that_starts_with_x_holds_anything(brand):
    brand.write("p.yaml", "version: 1\nx-a: &a [1, 2]\nx-tool: {sub: [x]}\nprompt: a\nmatrix: {seed: *a}\n")
    assert list(requests(brand, "p.yaml")) == ["s1", "s2"]


def test_the_api_key_in_a_used_file_stops_a_run(brand):
    brand.write("a.yaml", "version: 1\nvars: {a: krea-test-secret-4711}\n")
    brand.write("p.yaml", "version: 1\nuse: a.yaml\nbudget: {usd: 1}\nprompt: a lamp\n")
    done = brand.run("run", "p.yaml")
    assert (done.code, done.err.startswith("a.yaml:2:11: error: this file contains your API key")) == (2, True)
