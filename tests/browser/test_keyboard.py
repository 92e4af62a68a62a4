"""The page by keyboard alone: a whole sitting from a sweep to picks, and a list that names every key."""

import re
from pathlib import Path

import pytest
from pictured import write_page
from playwright.sync_api import expect
from sample_reports import make_report, make_stage

AXES = {"surface": ["slate", "linen", "oak"], "light": ["dawn", "noon", "dusk"], "seed": [1, 2]}
TEMPLATES = Path(__file__).parents[2] / "krea_pipe/report/templates"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return write_page(make_report(make_stage("lamp", AXES)), tmp_path_factory.mktemp("sitting"))


def tab_to(page, locator):
    """Press Tab until an element has the focus."""
    for _ in range(60):
        if locator.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    expect(locator).to_be_focused()


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def picks_in(path):
    return [re.sub(r", key: .*", "", line).removeprefix("- {") for line in path.read_text().splitlines()]


def test_a_whole_sitting_from_sweep_to_picks_needs_no_mouse(open_page, sweep):
    page = open_page(f"{sweep}#rows.lamp=surface&columns.lamp=light&columns.lamp=seed&size=120")
    tab_to(page, page.locator("#c0 > .frame"))
    press(page, "ArrowDown", "r", "x")
    expect(page.locator('.verdict[data-verdict="rejected"]')).to_have_count(6)
    press(page, "Escape", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowRight", "Shift+C")
    expect(page.locator("#compare-room .pane")).to_have_count(3)
    press(page, "ArrowRight", "5", "ArrowRight", "3", "n")
    page.keyboard.type("second choice")
    press(page, "Enter", "w", "ArrowRight", "Enter", "Enter")
    expect(page.locator("#compare-contest")).to_contain_text("wins against 2 others")
    press(page, "Escape")
    expect(page.locator(".cell > .frame:focus")).to_be_visible()
    press(page, "Escape", "v")
    expect(page.locator(".values-words")).to_contain_text("linen (0 of 6 decided cells picked)")
    tab_to(page, page.locator("#decided"))
    press(page, "P", "i")
    expect(page.locator(".cell")).to_have_count(2)
    tab_to(page, page.locator('.decisions [data-act="export"]'))
    with page.expect_download() as download:
        press(page, "Enter")
    assert picks_in(Path(download.value.path())) == [
        *(f"reject: lamp/linen/{light}/{seed}" for light in ("dawn", "dusk", "noon") for seed in (1, 2)),
        "pick: lamp/slate/dawn/2, stars: 5",
        "pick: lamp/slate/noon/1, stars: 3, note: second choice",
    ]


def test_the_focus_is_always_to_be_seen(open_page, sweep):
    page = open_page(f"{sweep}#values=lamp")
    page.keyboard.press("Tab")
    unseen = []
    for _ in range(45):
        focused = page.evaluate("""() => {
          const node = document.activeElement;
          const { outlineStyle, outlineWidth } = getComputedStyle(node);
          return [outlineStyle !== "none" && parseFloat(outlineWidth) >= 1, node.outerHTML.slice(0, 90)];
        }""")
        if not focused[0] and not focused[1].startswith("<body"):
            unseen.append(focused[1])
        page.keyboard.press("Tab")
    assert unseen == []


def test_the_list_has_each_key_once_in_groups(open_page, sweep):
    page = open_page(sweep)
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    groups = keys.locator(".key-group").all_inner_texts()
    assert groups == ["Move", "Decide", "Select", "Compare", "View"]
    listed = keys.locator("kbd").all_inner_texts()
    assert len(listed) == len(set(listed)) + 1  # "s" is of the sheet, and of a comparison
    bound = set()
    for file in TEMPLATES.glob("*.js"):
        for keys_bound in re.findall(r"bind(?:Keys|Decision)\(\[([^\]]+)\]", file.read_text()):
            bound |= set(re.findall(r'"([^"]+)"', keys_bound))
    names = {"ArrowLeft": "←", "ArrowRight": "→", "ArrowUp": "↑", "ArrowDown": "↓", "Escape": "Esc", " ": "Space"}
    assert {names.get(key, key) for key in bound} <= {*listed}


@pytest.mark.parametrize("window", [(390, 800), (1440, 900)])
def test_the_list_of_keys_can_be_read_to_its_end(open_page, sweep, window):
    page = open_page(sweep, viewport={"width": window[0], "height": window[1]})
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    dialog.get_by_role("button", name="Close").scroll_into_view_if_needed()
    expect(dialog.get_by_role("button", name="Close")).to_be_in_viewport()
    assert dialog.evaluate("node => node.scrollWidth <= node.clientWidth")
