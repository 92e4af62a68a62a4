"""Opens the page of a report with thousands of cells in headless Chromium, and prints the measurements as JSON.

`reports.py` starts it: `python benchmarks/browser.py FOLDER CELLS`.
"""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/report"))
import large_report

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
OPENED = """window.opened = (async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const isSeen = (picture) => picture.getBoundingClientRect().top < innerHeight;
  for (;;) {
    await frame();
    const seen = [...document.querySelectorAll(".frame .picture")].filter(isSeen);
    if (!seen.length || seen.some((picture) => !picture.dataset.painted)) continue;
    await frame();
    return [performance.now() / 1000, seen.length];
  }
})();"""
WATCH = """() => {
  window.longest = 0;
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) window.longest = Math.max(window.longest, duration);
  }).observe({ type: "longtask" });
}"""
SCROLL = """async () => {
  const end = document.documentElement.scrollHeight;
  for (let at = 0; at < end; at += innerHeight * 0.8) {
    scrollTo(0, at);
    await new Promise((done) => requestAnimationFrame(done));
  }
  await new Promise((done) => setTimeout(done, 200));
  return window.longest;
}"""
ACTIONS = {
    "search": """() => {
      const box = document.getElementById("search");
      box.value = "dusk";
      box.dispatchEvent(new Event("input", { bubbles: true }));
    }""",
    "pivot": "() => { location.hash = 'rows.lamp=creativity&rows.lamp=seed&columns.lamp=light&columns.lamp=ratio'; }",
}


def main() -> None:
    """Measure, and print."""
    folder, cells = Path(sys.argv[1]), int(sys.argv[2])
    report = large_report.large_report()
    file = large_report.write_folder(replace(report, rows=report.rows[:cells]), folder / "big")
    with sync_playwright() as driver:
        program = shutil.which("chromium") or shutil.which("chromium-headless-shell")
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        opened = [_opened(browser.new_page(), file) for _ in range(3)]
        view = browser.new_page(viewport={"width": 1440, "height": 900})
        _opened(view, file)
        view.evaluate(WATCH)
        found = {"opened": sorted(opened)[1], "scroll": view.evaluate(SCROLL)}
        found |= {name: _longest(view, action) for name, action in ACTIONS.items()}
        found["memory"] = _largest_renderer()
        browser.close()
    print(json.dumps(found))


def _opened(view: Page, file: Path) -> float:
    view.add_init_script(OPENED)
    view.goto(file.as_uri())
    seconds, seen = view.evaluate("opened")
    assert seen >= 5
    return float(seconds)


def _longest(view: Page, action: str) -> float:
    view.evaluate("() => { window.longest = 0; }")
    view.evaluate(action)
    view.evaluate("() => new Promise((done) => setTimeout(done, 400))")
    return float(view.evaluate("() => window.longest"))


def _largest_renderer() -> float:
    """The memory (PSS) of the largest process of Chromium that is a child of this one, in MB."""
    found: list[float] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and b"--type=renderer" in _read(folder / "cmdline"):
            lines = _read(folder / "smaps_rollup").decode().splitlines()
            found += [int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")]
    return max(found)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    main()
