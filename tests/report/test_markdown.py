"""The report as Markdown: what it says, that nothing in it acts, and that it is never too large."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from handmade import MARKUP, handmade_report
from markdown_it import MarkdownIt
from sample_reports import make_report, make_stage

from krea_pipe.core.outcome import Failure
from krea_pipe.report.markdown import MAX_SUMMARY_BYTES, code, render_markdown

GITHUB_DROPS_ABOVE = 1_048_576


class Seen(HTMLParser):
    """The tags of a page, its pictures, and the texts of its code."""

    def __init__(self, markdown):
        super().__init__()
        self.tags, self.images, self.code, self.open = set(), [], [], False
        self.feed(MarkdownIt("commonmark").enable("table").render(markdown))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.open = tag == "code"
        if tag == "img":
            self.images.append(dict(attrs))
        if tag == "code":
            self.code.append("")

    def handle_endtag(self, tag):
        self.open = self.open and tag != "code"

    def handle_data(self, data):
        if self.open:
            self.code[-1] += data


def many(count, **changes):
    report = handmade_report()
    rows = [replace(row, id=f"{row.id}/{number}", **changes) for number in range(count) for row in report.rows]
    return replace(report, rows=tuple(rows))


def cell_rows(text):
    return re.findall(r"^\| .*\|$", text.partition("### Cells")[2], re.MULTILINE)[1:]


def test_nothing_that_users_wrote_acts():
    report, quoted = handmade_report(), f'{MARKUP} " onload="'
    rows = tuple(replace(row, id=f"{quoted} {number}", stage=MARKUP) for number, row in enumerate(report.rows))
    pipeline = replace(report.pipeline, name=MARKUP, file=MARKUP)
    stages = tuple(replace(stage, name=MARKUP) for stage in report.stages)
    seen = Seen(render_markdown(replace(report, rows=rows, pipeline=pipeline, stages=stages, run_id=MARKUP)))
    assert seen.tags == {
        "h2",
        "h3",
        "p",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "ul",
        "li",
        "code",
        "img",
        "strong",
    }
    assert {MARKUP, f"{quoted} 4"} <= set(seen.code), "a reader sees it as it was written"
    assert [set(image) for image in seen.images] == [{"src", "width", "alt"}] * 4
    assert seen.images[0]["alt"] == f"{quoted} 0"


@pytest.mark.parametrize(
    "text",
    [
        "`",
        "``a`",
        "a|b",
        "\\",
        "a\\|b",
        "|",
        "a\\",
        "<!--",
        "&lt;",
        "~~a~~",
        "![x](y)",
        "$`x`$",
        "# a",
        "- a",
        "`|`\\`",
    ],
)
def test_a_text_reads_as_it_was_written(text):
    report = make_report(make_stage("lamp", {"a": [1]}))
    (row,) = report.rows
    seen = Seen(render_markdown(replace(report, rows=(replace(row, reason=text),), warnings=(text,))))
    assert [found for found in seen.code if found == text] == [text, text], "in the list of warnings and in a table"


def test_a_text_is_one_line_without_what_turns_or_drives_a_page():
    assert code("a\r\n\n b\u2028c\td") == "`a b c d`"
    assert code("a\x00\x1b[2J\u202eb\ud83d") == "`a\ufffd\ufffd[2J\ufffdb\ufffd`"
    assert code(" \n ") == ""
    assert code("x" * 20, 10) == f"`{'x' * 9}…`"


@pytest.mark.parametrize("limit", [50_000, MAX_SUMMARY_BYTES])
@pytest.mark.parametrize("reason", ["new", "🪔`|" * 500])
def test_what_does_not_fit_is_left_out_and_counted(limit, reason):
    report = replace(many(2_000, reason=reason), warnings=("🪔" * 1_000,) * 2_000)
    text = render_markdown(report, limit=limit)
    assert limit - 2_000 < len(text.encode()) <= limit < GITHUB_DROPS_ABOVE
    problems = int(re.findall(r"\*([\d,]+) more are not shown", text.partition("### Cells")[0])[-1].replace(",", ""))
    left_out = int(re.findall(r"\*([\d,]+) more are not shown", text)[-1].replace(",", ""))
    assert len(cell_rows(text)) + left_out == len(report.rows)
    assert 0 < problems < 10_000


def test_a_report_that_fits_leaves_nothing_out():
    text = render_markdown(handmade_report())
    assert len(cell_rows(text)) == 11
    assert "left out" not in text


def test_a_cell_that_failed_is_in_the_table_of_problems_first():
    report = many(2_000)
    lost = replace(report.rows[0], id="the/one", status="failed", error=Failure("gone", "it is gone"))
    text = render_markdown(replace(report, rows=(*(row for row in report.rows if not row.error), lost)))
    assert "| `the/one` | **failed** | `gone` | `it is gone` |" in text.partition("### Cells")[0]
    assert "the/one" not in text.partition("### Cells")[2], "it is the last of too many cells"


def test_a_local_run_says_so_and_names_no_money(small_report):
    local = make_report(make_stage("lamp", {"a": [1, 2]}), kind="local")
    assert "**LOCAL PROOFS**" in render_markdown(local)
    assert "$" not in render_markdown(local)
    assert "Cost" not in render_markdown(local)
    assert "LOCAL PROOFS" not in render_markdown(small_report)


def test_at_most_ten_images_are_shown_spread_over_the_cells_that_have_one():
    report = make_report(
        make_stage("lamp", {"n": list(range(100))}, lambda number: ("succeeded", "failed")[number % 2])
    )
    images = Seen(render_markdown(report)).images
    there = [row.sha256 for row in report.rows if row.sha256]
    shown = [there.index(image["src"].removeprefix("thumbnails/").removesuffix(".webp")) for image in images]
    assert shown == [0, 5, 10, 16, 21, 27, 32, 38, 43, 49]
    assert "### 10 of 50 images, evenly spread" in render_markdown(report)


def test_an_image_of_several_cells_is_shown_once_and_one_that_is_no_digest_never():
    report = make_report(make_stage("lamp", {"n": [1, 2, 3]}))
    first, second, third = report.rows
    same = (first, replace(second, sha256=first.sha256), replace(third, sha256='"><script>'))
    images = Seen(render_markdown(replace(report, rows=same))).images
    assert [image["alt"] for image in images] == [first.id]


def test_images_are_found_below_the_url_that_is_given(small_report):
    digest = small_report.rows[0].sha256
    for url in ("https://example.com/r", "https://example.com/r/"):
        assert (
            Seen(render_markdown(small_report, thumbnails=url)).images[0]["src"]
            == f"https://example.com/r/{digest}.webp"
        )
    assert (
        Seen(render_markdown(small_report, thumbnails="https://e.com/a'|`b"))
        .images[0]["src"]
        .startswith("https://e.com/a'|`b/")
    )
    assert "data:" not in render_markdown(small_report)


def test_a_table_that_would_be_empty_is_not_there():
    text = render_markdown(make_report(make_stage("lamp", {"a": [1]}, lambda _: "succeeded")))
    assert "### Cells" in text
    assert "Failed" not in text.partition("### Stages")[2].partition("###")[2]
    assert "### Warnings" not in text
    assert "### Images" not in render_markdown(make_report(make_stage("lamp", {"a": [1]}, lambda _: "pending")))
