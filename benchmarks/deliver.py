"""Measures what delivering images as WebP costs, compared with a bare Pillow loop on the same cores.

    python benchmarks/deliver.py [HOW MANY]

A run that has nothing else to do is measured with and without a recipe, and the loop between the two, several times:
the medians count. It fails if a file costs more than 1.1 times what it costs the loop.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

from bare_delivery import SIDE
from rig import KREA_PIPE, PYTHON, Ran, run

LIMIT = 1.1
ROUNDS = 5
LOOP = str(Path(__file__).parent / "bare_delivery.py")


def pipeline(count: int, recipe: str = "") -> str:
    """A pipeline of so many proofs, each a picture of its own."""
    return f"version: 1\nprompt: a lamp\nmatrix: {{seed: {{count: {count}}}}}\n{recipe}\n"


def measured(folder: Path, *command: str) -> Ran:
    """A command that must succeed."""
    ran = run(command, folder)
    if ran.code:
        raise SystemExit(ran.err)
    return ran


def main() -> None:
    """Print the ratios of CPU time and of wall time, and fail above the limit."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "p.yaml").write_text(pipeline(count))
        (folder / "q.yaml").write_text(pipeline(count, f"name: p\ndeliver: [{{format: webp, width: {SIDE}}}]"))
        plain = (*KREA_PIPE, "run", "p.yaml", "--local", "--quiet", "--out", "o")
        measured(folder, *plain)
        blobs = folder / ".krea-pipe/local/blobs"
        rounds: list[tuple[Ran, Ran, Ran]] = []
        for _ in range(ROUNDS):
            shutil.rmtree(folder / "out", ignore_errors=True)
            shutil.rmtree(folder / "o/webp", ignore_errors=True)
            loop = measured(folder, PYTHON, LOOP, str(blobs), "out")
            idle = measured(folder, *plain)
            ours = measured(folder, *(one.replace("p.yaml", "q.yaml") for one in plain))
            made = len(list((folder / "o/webp").rglob("*.webp")))
            if made != count or len(list((folder / "out").iterdir())) != count:
                raise SystemExit(f"{made} files instead of {count}")
            rounds.append((loop, idle, ours))
    ratios = {}
    for what in ("cpu", "wall"):
        loop_s, idle_s, ours_s = (median(getattr(one[place], what) for one in rounds) for place in range(3))
        ratios[what] = (ours_s - idle_s) / loop_s
        said = f"({ours_s:.2f} s - {idle_s:.2f} s without a recipe) / {loop_s:.2f} s"
        print(f"{count:,} images as WebP, {what} time, recipe / bare loop: {said} = {ratios[what]:.3f}")
    if ratios["cpu"] > LIMIT:
        raise SystemExit(f"above the limit of {LIMIT}")


if __name__ == "__main__":
    main()
