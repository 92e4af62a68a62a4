"""What an image costs: built in, in the user's own settings, raised by a pipeline, and in a document of Krea."""

import json
import subprocess

import pytest
import yaml
from krea_server import ask, send_answer

from krea_pipe.core.exit_codes import ExitCode

SETTINGS = ".config/krea-pipe/settings.yaml"
TIERS = {"text": "text-to-image", "references": "style-references", "moodboard": "moodboard"}


def prices(project, *words, env=()):
    done = project.run("prices", "--json", *words, env=dict(env))
    assert done.code == 0, done.text
    return {(one["value"], one["class"]): one for one in done.json["prices"]}


def openapi(changes=(), **more):
    """A document that has the built-in prices, with some changed."""
    amounts = {
        "medium": {"text": "0.03", "references": "0.035", "moodboard": "0.04"},
        "large": {"text": "0.06", "references": "0.065", "moodboard": "0.07"},
        "medium-turbo": {"text": "0.015", "references": "0.0175", "moodboard": "0.02"},
    }
    for (variant, own), amount in dict(changes).items():
        amounts.setdefault(variant, {})[own] = amount
    paths = {
        f"/generate/image/krea/krea-2/{variant}": {
            "post": {
                "x-krea-pricing": {
                    "type": "fixed",
                    "currency": "USD",
                    "unit": "request",
                    "price_points": [
                        {"amount": amount, "dimensions": {"k2BillingTier": TIERS.get(own, own)}}
                        for own, amount in points.items()
                    ],
                    **more,
                }
            }
        }
        for variant, points in amounts.items()
    }
    return {"openapi": "3.1.0", "paths": {"/jobs": {"get": {}}, **paths}}


def test_the_built_in_prices_are_listed_with_their_day(project):
    found = prices(project)
    assert found["medium", "text"] == {
        "field": "variant",
        "value": "medium",
        "class": "text",
        "usd": "0.03",
        "at": None,
    }
    assert len(found) == 9
    lines = project.run("prices").out.splitlines()
    assert lines[0].split() == ["field", "value", "text", "references", "moodboard", "from"]
    assert lines[3].split(maxsplit=5) == [
        "variant",
        "medium-turbo",
        "$0.015",
        "$0.0175",
        "$0.02",
        "built in, as of 2026-11-22",
    ]


def test_the_user_s_own_settings_override_a_price_everywhere(project, krea):
    file = project.write(SETTINGS, "prices:\n  medium: 0.05\n  large: {text: 0.01}\n")
    project.pipeline(["a", "b"])
    found = prices(project)
    assert [found[one]["usd"] for one in (("medium", "moodboard"), ("large", "text"), ("large", "moodboard"))] == [
        "0.05",
        "0.01",
        "0.07",
    ]
    assert found["large", "text"]["at"] == {"file": str(file), "line": 3, "column": 17}
    plan = project.run("plan", "p.yaml", "--json").json
    assert plan["totals"]["new"] == {"requests": 2, "usd": "0.10"}
    assert [(one["value"], one["class"], one["usd"]) for one in plan["prices"]] == [("medium", "text", "0.05")]
    assert f"Price of variant medium: $0.05 by {file}:2:11." in project.run("plan", "p.yaml").out
    explained = project.run("explain", "p.yaml", "p/a")
    assert f"$0.05, by {file}:2:11" in " ".join(explained.out.split())
    assert project.run("explain", "p.yaml", "p/a", "--json").json["price_at"]["line"] == 2
    assert project.run("explain", "p.yaml", "p/a", "--json", "--local").json["price_at"] is None
    assert "$0.10" in project.run("graph", "p.yaml").out
    done = project.run("run", "p.yaml", "--json", "--max-cost", "0.09")
    assert (done.code, len(krea.posts)) == (ExitCode.LIMIT_REACHED, 1)
    assert done.report["totals"]["cost"]["spent_usd"] == "0.05"


def test_without_changed_prices_nothing_is_said_of_them(project):
    project.pipeline(["a"])
    assert "Price of" not in project.run("plan", "p.yaml").out
    assert "prices" not in project.run("plan", "p.yaml", "--json").json
    assert project.run("explain", "p.yaml", "p/a", "--json").json["price_at"] is None


def test_xdg_config_home_names_the_folder_of_settings(project):
    project.write("etc/krea-pipe/settings.yaml", "prices: {medium: 0.5}\n")
    project.write(SETTINGS, "prices: {medium: 0.4}\n")
    found = prices(project, env={"XDG_CONFIG_HOME": str(project.path / "etc")})
    assert found["medium", "text"]["usd"] == "0.50"
    assert prices(project, env={"XDG_CONFIG_HOME": "etc"})["medium", "text"]["usd"] == "0.40"
    assert prices(project, env={"HOME": None})["medium", "text"]["usd"] == "0.03"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("price: {medium: 0.05}\n", "1:1: error: unknown key `price` in your settings"),
        ("prices: {medum: 0.05}\n", "1:10: error: unknown key `medum` in `prices`"),
        ('prices: {medium: "0.05"}\n', "1:18: error: `prices.medium` must be a number from 0 to 1000"),
        ("prices: {medium: {txt: 1}}\n", "1:19: error: unknown key `txt` in `prices.medium`"),
        ("prices: {medium: -1}\n", "1:18: error: `prices.medium` must be a number from 0 to 1000, not -1"),
        ("- medium\n", "1:1: error: settings must be a mapping"),
        ("prices: {\n", "error:"),
    ],
)
def test_settings_that_are_wrong_are_said_with_their_place(project, text, said):
    file = project.write(SETTINGS, text)
    project.pipeline(["a"])
    for words in (["prices"], ["plan", "p.yaml"]):
        done = project.run(*words)
        assert (done.code, done.out) == (ExitCode.INVALID, ""), done.text
        assert str(file) in done.err
        assert said in done.err


def test_a_pipeline_raises_a_price_and_plan_run_and_report_use_it(project, krea):
    project.pipeline(["a"], more="budget: {usd: 0.05}\nprices: {medium: {text: 0.06}}")
    assert prices(project, "p.yaml")["medium", "text"]["at"]["line"] == 5
    refused = project.run("run", "p.yaml", "--json")
    assert (refused.code, krea.posts) == (ExitCode.LIMIT_REACHED, [])
    project.pipeline(["a"], more="budget: {usd: 5}\nprices: {medium: {text: 0.06}}")
    planned = project.run("plan", "p.yaml", "--out", "p.plan.json")
    assert "Price of variant medium: $0.06 by p.yaml:5:25." in planned.out
    project.pipeline(["a"], more="budget: {usd: 5}\nprices: {medium: {text: 0.07}}")
    done = project.run("run", "p.plan.json")
    assert (done.code, krea.posts) == (ExitCode.INVALID, [])
    assert "now costs $0.07, but was planned for $0.06" in done.err
    assert project.run("run", "p.yaml", "--json").report["totals"]["cost"]["spent_usd"] == "0.07"
    assert [line["usd"] for line in project.events("submitting")] == ["0.07"]


@pytest.mark.parametrize(
    ("settings", "more", "said"),
    [
        ("", "prices: {medium: {text: 0.02}}", "p.yaml:4:25: error: an image of medium from text alone costs $0.03, "),
        ("", "prices: {medium: 0.039}", "p.yaml:4:18: error: an image of medium with a moodboard costs $0.04, and"),
        ("prices: {medium: 0.08}", "prices: {medium: 0.05}", "costs $0.08, by"),
        ("", "profiles: {ci: {prices: {large: 0.01}}}", "p.yaml:4:33: error: an image of large with a moodboard"),
        ("", "allow_unknown: {variant: {medium: 0.01}}", "p.yaml:4:35: error: an image of medium with a moodboard"),
    ],
)
def test_a_pipeline_can_not_lower_a_price(project, settings, more, said):
    project.write(SETTINGS, settings or "{}\n")
    project.pipeline(["a"], more=more)
    done = project.run("validate", "p.yaml", *(["--profile", "ci"] if "ci:" in more else []))
    assert done.code == ExitCode.INVALID
    assert said in done.err
    assert "a lower price belongs in your own settings" in done.err


def test_set_can_not_lower_a_price_either(project):
    project.pipeline(["a"])
    done = project.run("plan", "p.yaml", "--set", "prices.medium=0.001")
    assert done.code == ExitCode.INVALID
    assert "cannot lower" in done.err


def test_a_comparison_has_the_prices_of_the_head(project):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@x", *words], cwd=project.path, check=True)

    git("init", "-q")
    project.pipeline(["a"])
    git("add", "p.yaml")
    git("commit", "-qm", "one")
    project.pipeline(["a", "b"], more="prices: {medium: 0.5}")
    done = project.run("plan", "p.yaml", "--against", "HEAD", "--json")
    assert done.json["totals"]["unpaid"]["usd"] == "0.50", done.out


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_document_that_agrees_ends_with_0(project, form):
    text = json.dumps(openapi()) if form == "json" else yaml.safe_dump(openapi())
    project.write(f"api.{form}", text)
    done = project.run("prices", "--check", f"api.{form}")
    assert (done.code, done.out) == (0, f"api.{form}: the same prices.\n")


def test_differences_are_named_one_a_line_and_end_with_8(project):
    changes = {("medium", "text"): "0.031", ("large", "image-to-image"): "0.08", ("xl", "text"): 0.1}
    project.write("api.json", json.dumps(openapi(changes)))
    done = project.run("prices", "--check", "api.json")
    assert (done.code, done.out.splitlines()) == (
        ExitCode.NOT_AS_LOCKED,
        [
            "medium, from text alone: $0.03 here, $0.031 in the document",
            "large, k2BillingTier image-to-image: no price here, $0.08 in the document",
            "xl, from text alone: no price here, $0.10 in the document",
            "api.json: the prices differ.",
        ],
    )
    said = project.run("prices", "--check", "api.json", "--json")
    assert (said.code, said.json["check"]["agrees"]) == (ExitCode.NOT_AS_LOCKED, False)
    assert said.json["check"]["differences"][0] == {
        "variant": "medium",
        "tier": "from text alone",
        "here_usd": "0.03",
        "document_usd": "0.031",
    }
    project.write(SETTINGS, "prices: {medium: {text: 0.031}}\n")
    assert "medium" not in project.run("prices", "--check", "api.json").out


def test_a_price_that_the_document_lacks_is_a_difference(project):
    document = openapi()
    del document["paths"]["/generate/image/krea/krea-2/large"]
    project.write("api.json", json.dumps(document))
    done = project.run("prices", "--check", "api.json")
    assert done.out.splitlines()[0] == "large, from text alone: $0.06 here, no price in the document"
    assert done.code == ExitCode.NOT_AS_LOCKED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            json.dumps({"openapi": "3.1.0", "paths": {"/generate/image/krea/krea-2/medium": {"post": {}}}}),
            "has no x-krea",
        ),
        ("openapi: 3.1.0\npaths: {}\n", "has no x-krea-pricing"),
        ("[]", "has no x-krea-pricing"),
        ("", "cannot be read as YAML"),
        ("{", "not a JSON document"),
        ('{"paths": ' + "[" * 100_000, "not a JSON document"),
        (b"\xff\xfe\x00", "not a JSON document"),
        (json.dumps(openapi(currency="EUR")), 'its `currency` is "EUR", not USD'),
        (json.dumps(openapi(price_points=[])), "no list of `price_points`"),
        (json.dumps(openapi(price_points=[1])), "no list of `price_points`"),
        (json.dumps(openapi({("medium", "text"): "free"})), '"free" is not an amount'),
        (json.dumps(openapi({("medium", "text"): None})), "null is not an amount"),
        (json.dumps(openapi({("medium", "text"): True})), "true is not an amount"),
    ],
)
def test_a_document_without_readable_prices_is_said(project, text, said):
    project.write("api.json", text)
    done = project.run("prices", "--check", "api.json")
    assert done.code == ExitCode.INVALID, done.text
    assert "api.json:" in done.err
    assert said in done.err


def test_a_document_that_is_not_there_is_said(project):
    done = project.run("prices", "--check", "gone.json")
    assert (done.code, "gone.json: error: the file does not exist" in done.err) == (ExitCode.INVALID, True)


UNKNOWN = """version: 1
prompt: "{{ w }}"
allow_unknown: {variant: {xl: 0.10}, aspect_ratio: [5:4, 21:9], resolution: {2K: 0.2}}
matrix: {w: [a], variant: [medium, xl], aspect_ratio: [1:1, 5:4]}
budget: {usd: 5}
"""


def test_an_unknown_value_is_sent_as_written_at_the_price_that_is_given(project, krea):
    project.write("p.yaml", UNKNOWN)

    async def draw(scope, seen, send, app):
        """A Krea that has more than is documented."""
        body = json.dumps({**seen.json, "aspect_ratio": "1:1"}).encode()
        path = scope["path"].replace("/xl", "/large")
        answer = await ask(app, {**scope, "path": path}, type(seen)(seen.method, path, seen.headers, body))
        await send_answer(send, *answer)

    krea.rule("POST", "/generate/", draw)
    planned = project.run("plan", "p.yaml", "--json").json
    assert [cell["price_usd"] for cell in planned["cells"]] == ["0.03", "0.03", "0.10", "0.10"]
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.report["totals"]["cost"]["spent_usd"]) == (0, "0.26"), done.text
    sent = sorted((post.path.rpartition("/")[2], post.json["aspect_ratio"]) for post in krea.posts)
    assert sent == [("medium", "1:1"), ("medium", "5:4"), ("xl", "1:1"), ("xl", "5:4")]


def test_what_is_not_allowed_is_refused_with_a_hint_that_allows_it(project):
    for field, value in (("variant", "xl"), ("aspect_ratio", "5:4"), ("resolution", "2K")):
        project.write("p.yaml", f"version: 1\nprompt: a\ndefaults: {{{field}: {value}}}\n")
        done = project.run("validate", "p.yaml")
        assert done.code == ExitCode.INVALID
        assert f"allow_unknown: {{{field}: " in done.err
        allowed = f"[{value}]" if field == "aspect_ratio" else f"{{{value}: 0.5}}"
        more = f"allow_unknown: {{{field}: {allowed}}}"
        project.write("p.yaml", f"version: 1\nprompt: a\ndefaults: {{{field}: {value}}}\n{more}\n")
        assert project.run("validate", "p.yaml").code == 0


@pytest.mark.parametrize(
    "how",
    [
        "defaults: {aspect_ratio: 5:4}",
        "matrix: {aspect_ratio: [5:4]}",
        "matrix: {s: [{id: x, aspect_ratio: 5:4}]}",
        "matrix: {s: {zip: {aspect_ratio: [5:4], id: [x]}}}",
        "vars: {v: [5:4]}\nmatrix: {aspect_ratio: '{{ v }}'}",
        "vars: {v: 5:4}\ndefaults: {aspect_ratio: '{{ v }}'}",
        "matrix: {s: [a]}\npatch: [{when: {s: a}, set: {aspect_ratio: 5:4}}]\nout: '{{ s }}'",
        "--set",
    ],
)
def test_an_allowed_value_may_stand_wherever_a_known_one_may(project, how):
    words = ["--set", "aspect_ratio=5:4"] if how == "--set" else []
    text = f"version: 1\nprompt: a\n{'' if words else how}\n"
    project.write("p.yaml", text)
    refused = project.run("plan", "p.yaml", *words)
    assert (refused.code, "allow_unknown" in refused.err) == (ExitCode.INVALID, True), refused.text
    project.write("p.yaml", f"{text}allow_unknown: {{aspect_ratio: {{5:4: 0.09}}}}\n")
    done = project.run("plan", "p.yaml", *words, "--json")
    assert [cell["price_usd"] for cell in done.json["cells"]] == ["0.09"], done.text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("allow_unknown: {variant: [xl]}", "4:26: error: `allow_unknown.variant` must be a mapping"),
        ("allow_unknown: {variant: {xl: }}", "`variant.xl` has no value"),
        ("allow_unknown: {variant: {xl: {text: 1}}}", "needs `references` and `moodboard`"),
        ("allow_unknown: {variant: {../assets: 1}}", "`../assets` is not a valid name"),
        ("allow_unknown: {aspect_ratio: [wide]}", "`allow_unknown.aspect_ratio` item 1 cannot be"),
        ("allow_unknown: {seed: {7: 1}}", "unknown key `seed`"),
        ("allow_unknown: {}", "`allow_unknown` is empty"),
        (
            f"allow_unknown: {{variant: {{{', '.join(f'v{n}: 1' for n in range(51))}}}}}",
            "has 51 values; the maximum is 50",
        ),
        (f"allow_unknown: {{aspect_ratio: [{', '.join(f'{n + 20}:19' for n in range(51))}]}}", "has 51 items"),
    ],
)
def test_what_is_wrong_under_allow_unknown_is_said(project, more, said):
    project.pipeline(["a"], more=more)
    done = project.run("validate", "p.yaml")
    assert (done.code, said in done.err) == (ExitCode.INVALID, True), done.err


def test_the_higher_price_counts_and_a_known_value_is_a_warning(project):
    project.write(
        "p.yaml",
        "version: 1\nprompt: a\nallow_unknown: {variant: {large: 0.3}, resolution: {2K: 0.05}}\n"
        "matrix: {variant: [medium, large], resolution: [1K, 2K]}\n",
    )
    done = project.run("plan", "p.yaml", "--json")
    assert [cell["price_usd"] for cell in done.json["cells"]] == ["0.03", "0.05", "0.30", "0.30"]
    assert [(one["code"], one["at"]["line"]) for one in done.json["warnings"]] == [("known_value", 3)]


def test_the_local_krea_draws_what_the_file_allows(project, krea):
    project.write("p.yaml", UNKNOWN.replace("[1:1, 5:4]", "[21:9]").replace("xl]}", "xl], resolution: [2K]}"))
    done = project.run("run", "p.yaml", "--local", "--json")
    assert (done.code, done.counts, krea.seen) == (0, (2, 0, 0), []), done.text
    sizes = {(row["width"], row["height"]) for row in done.report["cells"]}
    assert sizes == {(1568, 672)}


def test_keys_and_requests_stay_as_they_are(project):
    project.pipeline(["a"])
    before = [cell["key"] for cell in project.run("plan", "p.yaml", "--json").json["cells"]]
    project.pipeline(["a"], more="prices: {medium: 1}\nallow_unknown: {variant: {xl: 1}}")
    assert [cell["key"] for cell in project.run("plan", "p.yaml", "--json").json["cells"]] == before
