"""The report page: what it says, what it embeds, and that nothing in it can break out or reach out."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from sample_reports import make_report, make_stage

from krea_pipe.pricing import usd
from krea_pipe.report.html import render, sentence
from krea_pipe.report.model import CostTotals
from krea_pipe.report.record import to_json, to_text

HOSTILE = "</script><img src=x onerror=alert(1)><!-- <script> &amp; \u2028\u2029 {{ 7*7 }}"
NETWORK = re.compile(r"^\s*(?!file:)(?:[a-z]+:)?//", re.IGNORECASE)


needs_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium on PATH")


class Elements(HTMLParser):
    """Collects start tags with their attributes, and the text of scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.raw = [], {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.cdata_elem:
            name = self.tags[-1][1].get("id", self.cdata_elem)
            self.raw[name] = self.raw.get(name, "") + data


def page_of(report, **thumbnails):
    return render(report, record=to_text(report), thumbnails=thumbnails).decode()


def data_of(page, name="report"):
    return json.loads(Elements(page).raw[name])


@pytest.fixture
def hostile_report(small_report):
    rows = tuple(
        replace(row, prompt=HOSTILE, reason=HOSTILE, id=f"{HOSTILE}{number}")
        for number, row in enumerate(small_report.rows)
    )
    pipeline = replace(small_report.pipeline, name=HOSTILE, description=HOSTILE, file=HOSTILE)
    return replace(small_report, rows=rows, pipeline=pipeline, warnings=(HOSTILE,))


def test_the_page_carries_the_whole_report(small_report):
    assert data_of(page_of(small_report)) == to_json(small_report)


def test_hostile_text_stays_text(hostile_report):
    page = page_of(hostile_report)
    elements = Elements(page)
    assert page.lower().count("</script") == 3
    assert "<img src" not in page
    assert "{{ 7*7 }}" in page
    assert [attrs for tag, attrs in elements.tags if tag == "img"] == [{"id": "detail-image", "alt": ""}]
    assert not [name for _, attrs in elements.tags for name in attrs if name.startswith("on")]
    assert data_of(page)["cells"][0]["prompt"] == HOSTILE


def test_a_prompt_that_is_no_valid_unicode_can_still_be_saved(small_report):
    odd = replace(small_report, rows=(replace(small_report.rows[0], prompt="half \ud83d pair"),))
    assert page_of(odd).encode("utf-8")


def test_nothing_refers_to_the_network(hostile_report, thumbnail):
    elements = Elements(page_of(hostile_report, **{hostile_report.rows[0].sha256: thumbnail}))
    references = [
        value for _, attrs in elements.tags for name, value in attrs.items() if name in ("src", "href", "action")
    ]
    assert references
    assert all(value.startswith("#") for value in references)
    assert "url(" not in elements.raw["style"]
    assert "@import" not in elements.raw["style"]
    assert not [
        word
        for word in re.findall(r"""["'`](.*?)["'`]""", elements.raw["script"])
        if NETWORK.match(word) and word != "http://www.w3.org/2000/svg"
    ]
    assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|import\(", elements.raw["script"])


def test_the_policy_admits_this_style_and_this_script_only(small_report):
    elements = Elements(page_of(small_report))
    policies = [attrs["content"] for _, attrs in elements.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    sources = dict(part.strip().split(" ", 1) for part in policies[0].split(";"))
    for name in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(elements.raw[name].encode()).digest()).decode()
        assert sources[f"{name}-src"] == f"'sha256-{digest}'"
    assert sources["default-src"] == "'none'"
    assert sources["img-src"] == "data: file: 'self'"
    assert not [attrs for _, attrs in elements.tags if "style" in attrs]


def test_each_picture_is_embedded_once_and_only_if_a_cell_shows_it(small_report, thumbnail):
    first, second, *rest = small_report.rows
    rows = (first, replace(second, sha256=first.sha256), *rest)
    page = page_of(replace(small_report, rows=rows), **{first.sha256: thumbnail, "0" * 64: thumbnail})
    embedded = data_of(page, "thumbnails")
    assert embedded == {first.sha256: {"w": 64, "h": 64, "webp": base64.b64encode(thumbnail).decode()}}


def test_local_runs_are_marked_and_live_runs_are_not(small_report):
    text = "nothing was sent to Krea, nothing was spent"
    assert text not in page_of(small_report)
    local = replace(small_report, target=replace(small_report.target, kind="local"))
    assert f'<p class="local-badge"><strong>LOCAL PROOFS</strong> – {text}</p>' in page_of(local)


def test_cells_without_a_picture_are_listed_with_links(small_report):
    page = page_of(small_report)
    found = re.findall(r'<a href="#c(\d+)">(.*?)</a>', page)
    assert found == [("5", html.escape(small_report.rows[5].id)), ("6", html.escape(small_report.rows[6].id))]
    messages = [cell["error"]["message"] for cell in data_of(page)["cells"] if cell["error"]]
    assert len(messages) == 2
    assert all(f"<span>{message}</span>" in page for message in messages)


def test_a_clean_run_has_no_list_of_problems():
    assert 'class="notice' not in page_of(make_report(make_stage("lamp", {"seed": [1, 2]}))).split("<noscript>")[0]


def test_the_header_names_the_run(small_report):
    page = page_of(small_report)
    for text in ("12 October 2026, 09:14 UTC", "1 min 12 s", "8c1f0d2b7e + uncommitted changes", "krea-pipe 0.1.0"):
        assert f"<dd>{text}</dd>" in page
    assert "<dt>Commit</dt>" not in page_of(replace(small_report, git=None))


def test_times_that_can_not_be_read_are_shown_as_they_are(small_report):
    page = page_of(replace(small_report, started_at="long ago"))
    assert "<dd>long ago</dd>" in page
    assert "<dt>Took</dt>" not in page


@pytest.mark.parametrize(
    ("finished_at", "text"), [("2026-10-12T09:14:48Z", "45 s"), ("2026-10-12T11:19:03Z", "2 h 5 min")]
)
def test_the_time_it_took_has_two_units_at_most(small_report, finished_at, text):
    assert f"<dd>{text}</dd>" in page_of(replace(small_report, finished_at=finished_at))


def test_a_report_without_cells_is_a_page():
    assert data_of(page_of(make_report()))["cells"] == []


def test_the_sentence_counts_images_and_money(small_report):
    assert sentence(small_report) == (
        "8 images: 3 rendered, 2 reused, 1 failed, 1 uncertain, 1 pending. "
        "$0.06 spent of $12.00, $0.04 saved, up to $0.02 uncertain."
    )


def test_the_sentence_leaves_out_what_is_zero():
    report = make_report(make_stage("one", {}))
    free = replace(report, cost=CostTotals(Decimal("0.015"), Decimal(0), Decimal(0), Decimal(0), None))
    assert sentence(free) == "1 image: 1 rendered. $0.015 spent."


def test_a_local_sentence_speaks_of_no_money(small_report):
    local = replace(small_report, target=replace(small_report.target, kind="local"))
    assert "$" not in sentence(local)


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "$0.00"), ("0.1", "$0.10"), ("0.015", "$0.015"), ("0.0200", "$0.02"), ("1E+3", "$1,000.00")],
)
def test_dollars_are_exact_with_two_decimals_or_more(amount, text):
    assert usd(Decimal(amount)) == text


def test_rendering_loads_neither_the_client_nor_the_console():
    code = "import sys, krea_pipe.report.html; print(*({'httpx', 'rich', 'starlette'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def drawn(page, tmp_path):
    """The elements of a page after a browser has run it."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command = ["chromium", *flags, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000"]
    done = subprocess.run([*command, "--dump-dom", page], capture_output=True, text=True, check=True, timeout=60)
    return Elements(done.stdout).tags


@needs_browser
def test_a_browser_draws_every_cell_and_opens_the_linked_one(hostile_report, thumbnail, tmp_path):
    page = tmp_path / "report.html"
    thumbnails = {row.sha256: thumbnail for row in hostile_report.rows if row.sha256}
    report = replace(hostile_report, rows=(*hostile_report.rows[:-1], replace(hostile_report.rows[-1], id="last")))
    page.write_bytes(render(report, record=to_text(report), thumbnails=thumbnails))
    tags = drawn(f"{page.as_uri()}#cell=last", tmp_path)
    assert [attrs["id"] for tag, attrs in tags if attrs.get("class") == "cell"] == [f"c{at}" for at in range(8)]
    assert [tag for tag, attrs in tags if "open" in attrs and tag == "dialog"] == ["dialog"]
    assert not [attrs for tag, attrs in tags if tag == "img" and attrs.get("src") == "x"]
    titles = [attrs["title"] for _, attrs in tags if attrs.get("class") == "cell"]
    assert titles[-1] == "last\nnot done yet; the next run goes on here"


@needs_browser
@pytest.mark.parametrize(
    ("base", "image", "address"),
    [
        ("../../..", "out/a #1/1.png", "../../../out/a%20%231/1.png"),
        ("../../..", "../else where/1.png", "../../../../else%20where/1.png"),
        ("../../..", "/else where/50%.png", "file:///else%20where/50%25.png"),
        ("../../..", "D:/out/a b.png", "file:///D:/out/a%20b.png"),
        ("D:/work", "out/1.png", "file:///D:/work/out/1.png"),
    ],
)
def test_the_link_to_an_original_leads_there(base, image, address, tmp_path):
    report = make_report(make_stage("one", {}), base=base)
    report = replace(report, rows=(replace(report.rows[0], image=image, id="one"),))
    page = tmp_path / "report.html"
    page.write_bytes(render(report, record=to_text(report), thumbnails={}))
    tags = drawn(f"{page.as_uri()}#cell=one", tmp_path)
    assert [attrs["href"] for tag, attrs in tags if tag == "a" and attrs.get("class") == "action"] == [address]
