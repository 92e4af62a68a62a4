"""Takes the screenshots of the docs: `python docs/pictures.py [FILE…]`. Needs Debian's chromium and the extra `dev`."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from krea_pipe.app.starter import STARTER

HERE = Path(__file__).parent
ROOT = HERE.parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CELL = "explore/serum/dawn/brand/s1"
# file: pipeline, colour scheme, scroll position, view
VIEWS = {
    "tutorial.png": ("pipeline", "light", 0, ""),
    "report.png": ("skincare", "light", 0, ""),
    "detail.png": ("skincare", "light", 0, f"#cell={CELL}"),
    "compare.png": (
        "skincare",
        "light",
        0,
        f"#compare={CELL}&compare=explore/serum/neon/brand/s1&comparing=yes&compareAs=slider",
    ),
    "ladder.png": ("creativity-ladder", "light", 260, "#ladder=creativity"),
    "pivot.png": (
        "skincare",
        "dark",
        0,
        "#rows.explore=look&columns.explore=product&columns.explore=light&only.seed=1&size=180",
    ),
}


def report_of(pipeline: str, folder: Path) -> Path:
    """The report of a local run of an example, or of the pipeline that `init` writes."""
    command = [sys.executable, "-m", "krea_pipe", "run", f"pipelines/{pipeline}.yaml", "--local"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KREA_PIPE_HOME": str(folder / pipeline)}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    (page,) = (folder / pipeline).glob("runs/*/report.html")
    return page


def draw(page: Page, address: str, file: Path, down: int) -> None:
    """Open a view, and take a screenshot when all its pictures are loaded."""
    page.goto(address)
    page.wait_for_selector(".picture[data-painted]", state="attached")
    page.wait_for_load_state("networkidle")
    page.evaluate(f"scrollTo(0, {down})")
    page.wait_for_timeout(500)
    page.screenshot(path=file)


def main() -> None:
    """Draw all of them."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        shutil.copytree(ROOT / "pipelines", folder / "pipelines")
        (folder / "pipelines/pipeline.yaml").write_text(STARTER, encoding="utf-8")
        views = {file: view for file, view in VIEWS.items() if file in (sys.argv[1:] or VIEWS)}
        pages = {pipeline: report_of(pipeline, folder) for pipeline in {view[0] for view in views.values()}}
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for file, (pipeline, scheme, down, view) in views.items():
            page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
            draw(page, pages[pipeline].as_uri() + view, HERE / file, down)
        browser.close()


if __name__ == "__main__":
    main()
