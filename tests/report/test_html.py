"""The report page: what it says, what it embeds, and that nothing in it can break out or reach out."""

import base64
import hashlib
import html
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from sample_reports import make_report, make_stage, to_json

import krea_pipe.report.html
from krea_pipe.pipeline.pricing import usd
from krea_pipe.report.html import HtmlOptions, render_html
from krea_pipe.report.model import CostTotals
from krea_pipe.report.words import summary_sentence

HOSTILE = "</script><img src=x onerror=alert(1)><!-- <script> &amp; \u2028\u2029 {{ 7*7 }}"
COPIED = "https://api.krea.ai"  # in what is copied as cURL
NETWORK = re.compile(r"^\s*(?!file:)(?:[a-z]+:)?//", re.IGNORECASE)


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
    return b"".join(render_html(report, HtmlOptions("single", thumbnails=thumbnails))).decode()


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


def test_hostile_text_stays_text(hostile_report):
    page = page_of(hostile_report)
    elements = Elements(page)
    assert page.lower().count("</script") == 4
    assert "<img src" not in page
    assert "{{ 7*7 }}" in page
    assert [attrs["id"] for tag, attrs in elements.tags if tag == "img"] == ["detail-image"]
    assert not [name for _, attrs in elements.tags for name in attrs if name.startswith("on")]
    assert data_of(page)["cells"][0]["table"]["columns"]["prompt"] == {"all": HOSTILE}


def test_a_prompt_that_is_no_valid_unicode_can_still_be_saved(small_report):
    odd = replace(small_report, rows=(replace(small_report.rows[0], prompt="half \ud83d pair"),))
    assert page_of(odd).encode("utf-8")


def test_nothing_refers_to_the_network(hostile_report, thumbnail):
    elements = Elements(page_of(hostile_report, **{hostile_report.rows[0].sha256: thumbnail}))
    references = [
        value for _, attrs in elements.tags for name, value in attrs.items() if name in ("src", "href", "action")
    ]
    assert references
    assert all(value.startswith(("#", "data:")) for value in references)
    assert "url(" not in elements.raw["style"]
    assert "@import" not in elements.raw["style"]
    assert not [
        word
        for word in re.findall(r"""["'`](.*?)["'`]""", elements.raw["script"])
        if NETWORK.match(word) and word not in ("http://www.w3.org/2000/svg", COPIED)
    ]
    assert not re.search(r"XMLHttpRequest|WebSocket|import\(", elements.raw["script"])


def digest_of(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_page_of_a_folder_admits_style_sheets_beside_it_too(small_report):
    page = b"".join(render_html(small_report)).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', page)
    style = html.unescape(policy).split("style-src ")[1].split(";")[0]
    assert style == f"{digest_of(Elements(page).raw['style'])} file: 'self'"
    assert '<link rel="stylesheet" href="report.css">' in page
    assert "stylesheet" not in page_of(small_report), "a single page has nothing beside it"


def test_the_policy_admits_this_style_and_this_script_only(small_report):
    elements = Elements(page_of(small_report))
    app, skip = re.findall(r"<script>(.*?)</script>", page_of(small_report), re.DOTALL)
    policies = [attrs["content"] for _, attrs in elements.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    sources = dict(part.strip().split(" ", 1) for part in policies[0].split(";"))
    assert sources["style-src"] == digest_of(elements.raw["style"])
    assert sources["script-src"] == f"{digest_of(skip)} {digest_of(app)}"
    assert sources["default-src"] == "'none'"
    assert sources["img-src"] == "data: file: 'self'"
    assert not [attrs for _, attrs in elements.tags if "style" in attrs]


def test_each_picture_is_embedded_in_the_static_sheet(small_report, thumbnail):
    first, second, *rest = small_report.rows
    rows = (first, replace(second, sha256=first.sha256), *rest)
    page = page_of(replace(small_report, rows=rows), **{first.sha256: thumbnail})
    assert set(re.findall(r'data-of="(.*?)" src="data:image/webp;base64,(.*?)"', page)) == {
        (first.sha256, base64.b64encode(thumbnail).decode())
    }
    assert page.count(base64.b64encode(thumbnail).decode()) == 2, "one for each of its two cells"


def test_local_runs_are_marked_and_live_runs_are_not(small_report):
    text = "nothing was sent to Krea or charged"
    assert text not in page_of(small_report)
    local = replace(small_report, target=replace(small_report.target, kind="local"))
    assert f'<p class="local-badge"><strong>LOCAL PROOFS</strong> – {text}</p>' in page_of(local)


def test_cells_without_a_picture_are_listed_with_links(small_report):
    page = page_of(small_report)
    found = re.findall(r'<a href="#cell=(.*?)" data-cell="(.*?)">', page)
    ids = [html.escape(row.id) for row in small_report.rows[5:7]]
    assert found == [(quote(row.id), name) for row, name in zip(small_report.rows[5:7], ids, strict=True)]
    messages = [cell["error"]["message"] for cell in to_json(small_report)["cells"] if cell["error"]]
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
    assert summary_sentence(small_report) == (
        "8 images: 3 rendered, 2 reused, 1 failed, 1 uncertain, 1 pending. "
        "$0.06 spent of $12.00, $0.04 saved, up to $0.02 uncertain."
    )


def test_the_sentence_leaves_out_what_is_zero():
    report = make_report(make_stage("one", {}))
    free = replace(report, cost=CostTotals(Decimal("0.015"), Decimal(0), Decimal(0), Decimal(0), None))
    assert summary_sentence(free) == "1 image: 1 rendered. $0.015 spent."


def test_a_local_sentence_speaks_of_no_money(small_report):
    local = replace(small_report, target=replace(small_report.target, kind="local"))
    assert "$" not in summary_sentence(local)


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


TEMPLATES = Path(krea_pipe.report.html.__file__).parent / "templates"


def test_every_file_of_the_page_is_in_it(small_report):
    page = page_of(small_report)
    files = [*TEMPLATES.glob("*.js"), *TEMPLATES.glob("*.css"), *TEMPLATES.glob("vendor/*.js")]
    assert len(files) > 20
    assert [file.name for file in files if file.read_text(encoding="utf-8").strip() not in page] == []


def test_no_two_files_of_the_script_give_one_name_to_two_things():
    named = re.compile(r"^(?:async )?(?:function|const|let|class) \*?(\w+)", re.MULTILINE)
    names = [name for file in TEMPLATES.glob("*.js") for name in named.findall(file.read_text(encoding="utf-8"))]
    assert len(names) > 300
    assert [name for name, count in Counter(names).items() if count > 1] == []
