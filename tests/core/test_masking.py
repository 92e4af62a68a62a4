"""A secret comes back in many ways of writing, and none of them is passed on."""

import base64
import html
import json
from urllib.parse import quote

import pytest

from krea_pipe.core.masking import is_absent, masked, masked_data
from krea_pipe.core.settings import Token

KEY = "krea-Test/secret_4711+x"


def percent(text):
    return "".join(f"%{byte:02x}" for byte in text.encode())


def numbered(text, form="&#{};"):
    return "".join(form.format(ord(sign)) for sign in text)


WAYS = {
    "plain": KEY,
    "upper": KEY.upper(),
    "quoted": quote(KEY, safe=""),
    "percent": percent(KEY),
    "percent upper": percent(KEY).upper(),
    "percent twice": quote(quote(KEY, safe=""), safe=""),
    "percent four times": quote(quote(quote(percent(KEY)))),
    "decimal": numbered(KEY),
    "no semicolons": numbered(KEY, "&#{}").replace("&#", " &#"),
    "hexadecimal": numbered(KEY, "&#x{:x};"),
    "zeros": numbered(KEY, "&#X{:06X};"),
    "named": KEY.replace("/", "&sol;").replace("_", "&lowbar;").replace("+", "&plus;"),
    "HTML twice": html.escape(numbered(KEY)),
    "json": "".join(f"\\u{ord(sign):04x}" for sign in KEY),
    "json twice": "".join(f"\\\\u{ord(sign):04X}" for sign in KEY),
    "solidus": KEY.replace("/", "\\/"),
    "bytes": "".join(f"\\x{ord(sign):02x}" for sign in KEY),
    "octal": "".join(f"\\{ord(sign):03o}" for sign in KEY),
    "braces": "".join(f"\\u{{{ord(sign):x}}}" for sign in KEY),
    "percent u": "".join(f"%u{ord(sign):04x}" for sign in KEY),
    "percent in HTML": numbered(percent(KEY)),
    "HTML in percent": percent(numbered(KEY)),
    "lines": "\n".join(KEY),
    "unseen": "\u200b".join(KEY),
    "wide": "".join(chr(ord(sign) + 0xFEE0) for sign in KEY),
    "hex": KEY.encode().hex(),
    **{
        f"base64 after {before}": base64.b64encode(b"x" * before + f"Bearer {KEY}".encode()).decode()
        for before in range(3)
    },
    "base64 of a user": base64.urlsafe_b64encode(f"user:{KEY}".encode()).decode(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("around", ["{}", "Bearer {}, which is wrong", "https://krea.ai/?key={}&a=b"])
def test_a_secret_is_found_in_every_way_of_writing(way, around):
    said = masked(around.format(way), KEY)
    assert "***" in said
    assert way not in said
    assert masked_data({"error": [{around.format(way): 1}]}, KEY) == {"error": [{said: 1}]}
    assert Token(KEY).is_in({"error": [{around.format(way): 1}]})
    for is_ascii in (True, False):
        assert not is_absent(json.dumps({"error": [{around.format(way): 1}]}, ensure_ascii=is_ascii).encode(), KEY)


def test_a_plain_secret_leaves_the_rest_of_its_text():
    assert masked(f"bad header: Bearer {KEY}!", KEY) == "bad header: Bearer ***!"
    assert masked(f"{KEY} 100 % &amp; \\o/ {KEY}", KEY) == "*** 100 % &amp; \\o/ ***"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a lamp",
        "krea-test",
        "100 % of krea & \\test",
        "https://gen.krea.ai/a%20b.png?x=1&y=2",
        "é %zz %u12 \\x &#xffffffff;",
    ],
)
def test_other_texts_stay_as_they_are(text):
    assert masked(text, KEY) == text


def test_data_stays_what_it_is():
    data = json.loads('{"a": [1, 2.5, true, null, "x", {"b": {}}], "price": 0.03}')
    assert masked_data(data, KEY) == data
    assert not Token(KEY).is_in(data)
    assert masked_data({"n": 47110815}, "47110815") == {"n": "***"}


def test_a_body_that_holds_nothing_of_a_secret_need_not_be_read():
    body = json.dumps({"items": [{"job_id": "775696e3", "status": "queued", "n": 0.5}]}, indent=2).encode()
    assert is_absent(body, KEY)
    assert not is_absent(b'{"n": 4.7110815e7}', "47110815")
    assert not is_absent(body.replace(b"queued", KEY.upper().encode()), KEY)


def test_what_is_deeper_or_more_escaped_than_an_answer_is_left_out():
    deep = []
    for _ in range(900):
        deep = [deep]
    assert len(json.dumps(masked_data(deep, KEY))) < 200
    assert masked_data(["%41" * 50_000] * 20 + [percent(KEY)], KEY)[-1] == "***"
