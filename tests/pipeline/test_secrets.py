"""Secrets of the common kinds are refused wherever a file's values come from, and ordinary texts are not.

The values are put together here, so that no scanner finds a secret in the repository.
"""

import json
import random
import string

import pytest

from krea_pipe.app import flow
from krea_pipe.core.errors import InvalidInput, UsageError
from krea_pipe.core.secret_kinds import is_secret, is_secret_name, secret_kinds, without_secrets
from krea_pipe.pipeline.spec.overlay import Overrides

_RANDOM = random.Random(13)
LETTERS, HEX = string.ascii_letters + string.digits, "0123456789abcdef"


def some(count, signs=LETTERS):
    """So many signs, with a digit, a capital and a small letter where there are such."""
    start = [sign for sign in "a1Z" if sign in signs]
    return "".join([*start, *_RANDOM.choices(signs, k=count - len(start))])


def joined(*parts):
    return "".join(parts)


UUID = "3f0c9c1e-8f1b-4f0e-9f5d-2b7a1c6d4e90"
FAKES = {
    "Krea": joined(UUID, ":", some(24)),
    "id:secret": joined(some(20), ":", some(32)),
    "AWS id": joined("AK", "IA", some(16, string.ascii_uppercase)),
    "AWS temporary id": joined("AS", "IA", some(16, string.ascii_uppercase)),
    "AWS secret": joined(some(20), "/", some(18), "+"),
    "GitHub": joined("gh", "p_", some(36)),
    "GitHub app": joined("gh", "s_", some(36)),
    "GitHub oauth": joined("gh", "o_", some(36)),
    "GitHub fine": joined("github", "_pat_", some(22), "_", some(59)),
    "GitLab": joined("gl", "pat-", some(20)),
    "GitLab deploy": joined("gl", "dt-", some(20)),
    "Slack bot": joined("xo", "xb-", "1234567890-", some(24)),
    "Slack user": joined("xo", "xp-", "1234567890-", some(24)),
    "Slack app": joined("xa", "pp-1-", some(24)),
    "Slack hook": joined("https://hooks.", "slack.com/services/T0/B0/", some(24)),
    "Discord hook": joined("https://disc", "ord.com/api/webhooks/1234567890/", some(60)),
    "Stripe": joined("sk", "_live_", some(24)),
    "Stripe restricted": joined("rk", "_live_", some(24)),
    "Stripe hook": joined("wh", "sec_", some(32)),
    "OpenAI": joined("sk", "-", some(48)),
    "OpenAI project": joined("sk", "-proj-", some(48)),
    "Anthropic": joined("sk", "-ant-api03-", some(80)),
    "Google key": joined("AI", "za", some(35)),
    "Google token": joined("ya", "29.", some(60)),
    "Google client": joined("GOC", "SPX-", some(28)),
    "Google service account": json.dumps({"private_key": joined("-----BEGIN PRIV", "ATE KEY-----\nMII")}),
    "npm": joined("np", "m_", some(36)),
    "Brevo": joined("xkey", "sib-", "0a1b2c3d" * 8, "-", some(16)),
    "New Relic": joined("NR", "AK-", some(27, string.ascii_uppercase)),
    "Netlify": joined("nf", "p_", some(40)),
    "Doppler": joined("dp", ".pt.", some(40)),
    "Bitbucket": joined("AT", "BB", some(32)),
    "CircleCI": joined("CC", "IPAT_", some(22), "_", "0a1b2c3d" * 5),
    "Pinecone": joined("pc", "sk_", some(40)),
    "PlanetScale": joined("pscale", "_tkn_", some(40)),
    "LangSmith": joined("lsv2", "_pt_", some(32), "_", some(10)),
    "Tavily": joined("tv", "ly-", some(32)),
    "Fly": joined("FlyV1 f", "m2_", some(40)),
    "Airtable": joined("pa", "t", some(14), ".", "0a1b2c3d" * 8),
    "Mapbox": joined("sk", ".eyJ", some(40), ".", some(22)),
    "PuTTY": joined("PuTTY-User", "-Key-File-3: ssh-ed25519"),
    "PyPI": joined("py", "pi-AgEIcHlwaS5vcmc", some(60)),
    "Hugging Face": joined("h", "f_", some(34)),
    "Replicate": joined("r", "8_", some(37)),
    "JWT": joined("ey", "JhbGciOiJIUzI1NiJ9.ey", some(30), ".", some(43)),
    "JWT behind a name": joined("jwt_ey", "JhbGciOiJIUzI1NiJ9.eyJ", some(30), ".", some(43)),
    "RSA": joined("-----BEGIN RSA PRIV", "ATE KEY-----"),
    "SSH": joined("-----BEGIN OPENSSH PRIV", "ATE KEY-----"),
    "PGP": joined("-----BEGIN PGP PRIV", "ATE KEY BLOCK-----"),
    "password": joined("https://me:", "hunter2", "@example.com/a"),
    "database": joined("postgres://app:", some(12), "@db.example.com/app"),
    "Azure storage": joined("Account", "Key=", some(86), "=="),
    "Azure bus": joined("SharedAccess", "Key=", some(43), "="),
    "Azure SAS": joined("https://a.blob.core.windows.net/b?sv=2024-01-01&s", "ig=", some(40), "%3D"),
    "SendGrid": joined("S", "G.", some(22), ".", some(43)),
    "Twilio": joined("S", "K", some(32, HEX)),
    "Twilio account": joined("A", "C", some(32, HEX)),
    "DigitalOcean": joined("do", "p_v1_", some(64, HEX)),
    "Telegram": joined("123456789:", "AA", some(33)),
    "Mailgun": joined("ke", "y-", some(32, HEX)),
    "Shopify": joined("shp", "at_", some(32, HEX)),
    "bearer": joined("Authorization: Bea", "rer ", some(32)),
    "small bearer": joined("authorization: bea", "rer ", some(32)),
    "basic": joined("Authorization: Ba", "sic ", some(32)),
    "setting": joined("MY_API_", "KEY=", some(20)),
    "spaced setting": joined("client sec", "ret: ", some(20)),
}  # fmt: skip
ORDINARY = [
    "a lamp in the style of risk-averse minimalism, task-oriented, desk-top-publishing-in-the-nineties",
    "the bearer of good news stands in basic photography lighting, key light from the left, secret garden",
    "a token: bronze, worn; password: swordfish; the key: brass",
    UUID,
    f"https://www.krea.ai/moodboards?share={UUID}",
    f"https://app-uploads.krea.ai/{UUID}/{UUID}.png",
    f"https://gen.krea.ai/images/{UUID}.png?width=1024&v=2",
    "https://example.com:8443/pictures/2026/Autumn-Campaign/Lamp_01.png?size=large#top",
    "sha256:" + "0123456789abcdef" * 4,
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "0123456789abcdef0123456789abcdef",
    "st_8Qd1",
    "#ff8800, #00ffcc80 and rgb(12, 34, 56)",
    "pictures/2026/Summer/Autumn/Winter/lamp-on-a-table.png",
    "{{ product.name }} on {{ background }}, {{ ['red', 'blue'] | join(', ') }}",
    "2026-11-29T20:17:29Z at 16:9, 1024x1024, f/1.8, ISO 100, 35mm",
    "me@example.com and https://example.com/@studio/a:b",
    "Donaudampfschifffahrtsgesellschaftskapitaensmuetze1234567",
    "data:image/png;base64," + some(4000),
    "東京の夜景、雨に濡れた路地、ネオンサインが水たまりに映る、三十五ミリの写真のように",
    "sk-short pk_lamp gh_pages AKIA eyJ glpat- xoxb",
]
TEXTS = {
    "prompt": "version: 1\nprompt: {}\n",
    "vars": "version: 1\nprompt: a lamp {{{{ x }}}}\nvars: {{x: {}}}\n",
    "axis": "version: 1\nprompt: a {{{{ w }}}}\nmatrix: {{w: [lamp, {}]}}\n",
    "name of a variable": "version: 1\nprompt: a lamp\nprofiles: {{a: {{vars: {{{}: b}}}}}}\n",
    "unknown key": "version: 1\nprompt: a lamp\nnotes: [{}]\n",
    "env": "version: 1\nprompt: a lamp {{{{ env.x }}}}\nenv: {{x: {}}}\n",
}


def problems_of(folder, text, **overrides):
    file = folder / "a.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises((InvalidInput, UsageError)) as caught:
        flow.load_pipeline(file, Overrides(**overrides))
    return caught.value.problems


def refused_unseen(problems, secret):
    assert "secret_in_file" in {problem.code for problem in problems}
    said = "".join(f"{one.message} {one.hint} {one.at.text if one.at else ''}" for one in problems)
    assert not [secret[start : start + 12] for start in range(len(secret) - 12) if secret[start : start + 12] in said]


def escaped(text):
    return '"' + "".join(f"\\u{ord(sign):04x}" for sign in text) + '"'


@pytest.mark.parametrize("secret", FAKES.values(), ids=FAKES)
def test_a_secret_of_each_kind_is_refused_in_a_file_an_environment_and_a_table(tmp_path, secret):
    refused_unseen(problems_of(tmp_path, TEXTS["prompt"].format(json.dumps(f"a lamp, {secret}"))), secret)
    env = "version: 1\nprompt: a lamp {{ env.x }}\nenv: {x: y}\n"
    refused_unseen(problems_of(tmp_path, env, environment={"x": secret}), secret)
    cell = secret.replace('"', '""')
    (tmp_path / "t.csv").write_text(f'id,text\na,"{cell}"\n')
    table = "version: 1\nprompt: a {{ w.text }}\nmatrix: {w: {csv: t.csv}}\n"
    refused_unseen(problems_of(tmp_path, table), secret)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("write", [json.dumps, escaped])
def test_a_secret_is_refused_at_every_place_and_its_line_is_not_shown(tmp_path, text, write):
    secret = FAKES["GitHub"]
    problems = problems_of(tmp_path, text.format(write(secret)))
    refused_unseen(problems, secret)
    assert write(secret)[1:-1] not in "".join(one.at.text for one in problems)


@pytest.mark.parametrize(
    "path", ["prompt", "vars.x", "description", "aspect_ratio", "seed", "references", "vars.x.y.0"]
)
def test_a_secret_that_is_set_is_not_repeated_whatever_else_is_wrong(tmp_path, path):
    secret = FAKES["AWS id"]
    problems = problems_of(tmp_path, "version: 1\nprompt: a lamp {{ x }}\nvars: {x: [b]}\n", sets=[f"{path}={secret}"])
    assert secret not in "".join(f"{one} {one.at.text if one.at else ''}" for one in problems)


def test_a_line_that_is_no_yaml_shows_no_secret(tmp_path):
    for text in ("prompt: %{}\n", "prompt: '{}\n", "prompt: [a, {}\n", "{}: {}: a\n"):
        secret = FAKES["GitHub"]
        problems = problems_of(tmp_path, "version: 1\n" + text.replace("{}", secret))
        assert secret not in "".join(f"{one} {one.at.text if one.at else ''}" for one in problems)


def test_a_file_of_variables_and_a_list_of_words_are_looked_at(tmp_path):
    secret = FAKES["Stripe"]
    (tmp_path / "vars.yaml").write_text(f"x: {secret}\n")
    text = "version: 1\nprompt: a lamp {{ x }}\nvars: {x: b}\n"
    refused_unseen(problems_of(tmp_path, text, var_files=[tmp_path / "vars.yaml"]), secret)
    (tmp_path / "w.txt").write_text(f"lamp\n{secret}\n")
    for axis in ("w", "aspect_ratio"):  # the second is no good as a value either
        refused_unseen(
            problems_of(tmp_path, f"version: 1\nprompt: a lamp\nmatrix: {{{axis}: {{words: w.txt}}}}\n"), secret
        )


@pytest.mark.parametrize("text", ORDINARY, ids=range(len(ORDINARY)))
def test_ordinary_texts_are_no_secrets(text):
    assert not is_secret(text)
    assert without_secrets(text) == text


def test_what_only_begins_like_a_data_uri_is_looked_at():
    assert is_secret(f"data: {FAKES['GitHub']}")
    assert is_secret(f"data:image/png;base64,AAAA {FAKES['GitHub']}")


def test_each_kind_is_found_and_taken_out_of_its_text():
    assert len({kind.name for kind in secret_kinds()}) == len(secret_kinds())
    for name, secret in FAKES.items():
        assert is_secret(secret), name
        assert not is_secret(without_secrets(f"see {secret}, which is one")), name


SECRET_NAMES = """
    API_KEY MY_API_KEY apikey apiKey myAPIKey KEY KEYS SSH_KEY STRIPEKEY key2 SECRET CLIENT_SECRET clientsecret SECRET2
    TOKEN GITHUB_TOKEN tokens authToken PASSWORD dbPassword PASSWD DB_PASS DB_PWD PASSPHRASE CREDENTIALS creds AUTH
    BASIC_AUTH OAUTH2 AUTHORIZATION JWT BEARER KEYID ACCESSKEYID KEYFILE MASTERKEYB64 privatekeypem PGPASS PASSCODE
    GITHUB_PAT JWKS COOKIE
"""
OTHER_NAMES = """
    SEASON MONKEY TURKEY WHISKEY_BRAND HOCKEY KEYBOARD_LAYOUT KEYCLOAK KEYNOTE KEYWORD AUTHOR AUTHORS AUTHORITY
    SECRETARY PASSPORT COMPASS PWD TOKENIZERS_PARALLELISM BRAND HOME turnkey
"""


@pytest.mark.parametrize(("names", "says"), [(SECRET_NAMES, True), (OTHER_NAMES, False)])
def test_a_name_says_by_its_words_whether_it_is_for_a_secret(names, says):
    assert [name for name in names.split() if is_secret_name(name) != says] == []


def test_the_value_of_a_variable_with_such_a_name_is_never_read(tmp_path):
    text = "version: 1\nprompt: a lamp {{ env.MY_TOKEN }}\nenv: {MY_TOKEN: null}\n"
    (problem,) = problems_of(tmp_path, text, environment={"MY_TOKEN": "harmless"})
    assert (problem.code, problem.at.line, problem.at.column) == ("secret_name", 3, 7)
    assert problem.hint
