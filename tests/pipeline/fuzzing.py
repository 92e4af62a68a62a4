"""Loads mutated pipeline files in a process of its own, and says what went wrong: `fuzzing.py FOLDER FIRST COUNT`.

Prints one JSON object: the numbers of files that failed with how, the slowest, and the most memory that was used.

`fuzzing.py cost FOLDER [--most N] [NAME ...]` grows each construct of `costs.py` instead, up to the size that a file
may have or N of it, and has `krea-pipe` judge each file in a process of its own. A line for each file; it fails when
one takes more than 250 MB, or more than 2 s of CPU time and 50 µs for each cell, ends as no judgement does, or takes
more than its size explains.
"""

import copy
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "corpus"))

from corpus import HERE, build_repository
from costs import CONSTRUCTS, HEAD

from krea_pipe.app import flow
from krea_pipe.core.errors import InvalidInput, KreaPipeError
from krea_pipe.pipeline.nodes import build_nodes
from krea_pipe.pipeline.spec import Overrides

LONGEST = 10  # seconds; a file that takes as long hangs, however slow the machine is
MOST_CELLS = 2_000
HARD_LIMIT = 1_500 * 2**20

MOST_SECONDS, MOST_MEGABYTES = 2.0, 250
PER_CELL = 50e-6  # seconds that each cell may take besides, of the 100,000 that a pipeline may have
FIRST_SIZE, GROWTH = 1_000, 4
FLOOR = 0.5  # seconds; below it a ratio says nothing
SLACK = 2.0
LIMITS = {
    "p.yaml": 4 * 2**20,
    "k.yaml": 4 * 2**20,
    "v.yaml": 4 * 2**20,
    "t.csv": 16 * 2**20,
    "t": 16 * 2**20,
    "p.lock.jsonl": 40 * 2**20,
}
LARGEST = 40 * 2**20
JUDGED = {0, 2, 4, 6, 8}

BITS = [
    *("null", "[]", "{}", "[null]", "{a: 1}", "-1", "1.5", "1e999", "1e30", "true", "''", '"\\ud800"', '"\\0"'),
    *("{{ x }}", "'{{ x }}'", "'{{ a.b.c }}'", "'{{ 1/0 }}'", "'{{ a | join }}'", "'{{'", "{% if x %}", "'{% if x %}'"),
    *("*a", "&a ", "!!str ", "<<: ", ": ", "- ", "  ", "\t", "\n", "\r", "#", "'", '"', "[", "]", "{", "}", "%", "@"),
    *(
        "16:9",
        "all",
        "prompt",
        "seed",
        "references",
        "stages",
        "matrix",
        "exclude",
        "out",
        "'../x'",
        "'/x'",
        "---",
        "? ",
    ),
    *("{count: 3}", "{from: 0, to: 1, steps: 3}", "{id: a}", "{image: refs/brand.png}", "é", "\U0001fa94", "\ufeff"),
    *(
        "with",
        "include",
        "patch",
        "sample",
        "takes",
        "for_each",
        "picks",
        "promote",
        "needs",
        "look",
        "image",
        "strength",
    ),
    *("{zip: {a: [1, 2], seed: [3, 4]}}", "{from: 0, to: 1, by: 0.3}", "{csv: subjects.csv}", "{words: lenses.txt}"),
    *("{glob: refs/*.png}", "{if: 'seed > 1'}", "{when: {seed: 1}, set: {seed: 2}}", "{method: pairwise}", "first"),
    *("'{{ source.image }}'", "'{{ source.axes }}'", "'{{ env.A }}'", "picks/explore.yaml", "explore", "'{{ take }}'"),
]

VALUES = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        0.5,
        1e30,
        100_001,
        "",
        " ",
        "a",
        "all",
        "é",
        "x" * 300,
        "16:9",
        "..",
        "/",
        "a/b",
    ),
    *("{{ x }}", "{{ seed }}", "{{ source }}", "{{ source.image }}", "{{ source.axes.x }}", "{{ env.A }}", "{{ 1/0 }}"),
    *(
        "{{ [1, 2] }}",
        "{{ {'a': 1} }}",
        "{{ none }}",
        "{{",
        "{% if %}",
        "{{ x | choice }}",
        "{{ x.y.z }}",
        "{{ x ~ x }}",
    ),
    *([], {}, [[]], [None], ["a", "a"], [1, 1.0, True], {"id": "a"}, {"id": ""}, {"count": 2}, {"count": 99_999}),
    *({"from": 0, "to": 1, "by": 0.3}, {"from": 1, "to": 0, "steps": 3}, {"zip": {"a": [1], "b": [2]}}, {"zip": {}}),
    *({"csv": "subjects.csv"}, {"words": "lenses.txt"}, {"glob": "refs/*.png"}, {"glob": "**"}, {"csv": "/etc/passwd"}),
    *([{"if": "seed > 1"}], [{"seed": 1}], [{"when": {"seed": 1}, "set": {"seed": 2}}], {"method": "pairwise"}),
    *(
        {"method": "random", "n": 2},
        {"file": "picks/explore.yaml"},
        {"variant": "large"},
        [{"image": "refs/brand.png"}],
    ),
    *(
        [{"a": [1]}, {"b": [2]}],
        {"references": ["brand"]},
        {"seed": None},
        {"look": "plain"},
        "explore",
        "plain",
        "brand",
    ),
]


def mutate_text(chance: random.Random, text: str, others: list[str]) -> str:
    """A text with some characters or lines changed."""
    for _ in range(chance.randint(1, 4)):
        lines = text.split("\n")
        here, there, spot = chance.randrange(len(lines)), chance.randrange(len(lines)), chance.randrange(len(text) + 1)
        match chance.randrange(5):
            case 0:
                text = text[:spot] + chance.choice(BITS) + text[spot:]
            case 1:
                text = text[:spot] + text[spot + chance.randint(1, 12) :]
            case 2:
                lines[here], lines[there] = lines[there], lines[here]
                text = "\n".join(lines)
            case 3:
                lines[here] = f"{lines[here].partition(':')[0]}: {chance.choice(BITS)}"
                text = "\n".join(lines)
            case 4:
                donor = chance.choice(others).split("\n")
                lines[here:here] = donor[chance.randrange(len(donor)) :][:3]
                text = "\n".join(lines)
    return text


def parts(data, above=()):
    """The trails of everything in some data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, item in items:
        yield (*above, key)
        yield from parts(item, (*above, key))


def inside(data, trail):
    for step in trail:
        data = data[step]
    return data


def mutate_data(chance, data, others):
    """Data with some values changed, removed, renamed, or taken from another pipeline."""
    data = copy.deepcopy(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        trails = list(parts(data))
        if not trails:
            return chance.choice(VALUES)
        *above, last = chance.choice(trails)
        owner, other = inside(data, above), chance.choice(others)
        donors = list(parts(other))
        match chance.randrange(8):
            case 0:
                owner[last] = copy.deepcopy(chance.choice(VALUES))
            case 1:
                del owner[last]
            case 2:
                owner[last] = copy.deepcopy(inside(data, chance.choice(trails)))
            case 3:
                donor = chance.choice(donors)
                key = donor[-1] if isinstance(owner, dict) and isinstance(donor[-1], str) else last
                owner[key] = copy.deepcopy(inside(other, donor))
            case _:  # what stands under the same key elsewhere, or a key beside it: such files are nearly right
                alike = [donor for donor in donors if len(donor) == len(above) + 1 and isinstance(donor[-1], str)]
                if alike and isinstance(owner, dict):
                    donor = chance.choice([one for one in alike if one[-1] == last] or alike)
                    owner[donor[-1]] = copy.deepcopy(inside(other, donor))
    return data


def mutated(chance, texts, datas):
    if chance.random() < 0.4:
        return mutate_text(chance, chance.choice(texts), texts)
    return json.dumps(mutate_data(chance, chance.choice(datas), datas), ensure_ascii=False, indent=1)


def load(file):
    """Everything from a file to its last cell."""
    has_profile = "draft:" in file.read_text(encoding="utf-8", errors="replace").replace('"', "")
    loaded = flow.load_pipeline(file, Overrides(profiles=["draft"] if has_profile else []))
    for _ in flow.cells(loaded, max_cells=MOST_CELLS):
        pass


class Hang(BaseException):
    """A file took too long."""


def stop(*_: object) -> None:
    raise Hang


def judge(folder, files):
    """What a command costs that reads some files: CPU seconds, without those of its cells, megabytes; its exit code."""
    for old in folder.iterdir():
        if old.is_file():
            old.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    words = ["validate", "p.yaml"]
    if "v.yaml" in files:
        words += ["--vars", "v.yaml"]
    elif "p.lock.jsonl" in files:
        words = ["run", "p.yaml", "--frozen"]
    elif "plan.json" in files:
        words = ["run", "plan.json"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KREA_API_BASE": "http://127.0.0.1:9"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "krea_pipe", *words],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=said,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (30, 30)),
        )
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    made = re.search(r"valid, ([\d,]+) image", (folder / "said").read_text(encoding="utf-8", errors="replace"))
    cells = int(made[1].replace(",", "")) if made else min(100_000, files.get("p.lock.jsonl", "").count("\n"))
    free = PER_CELL * cells
    return used.ru_utime + used.ru_stime - free, used.ru_maxrss // 1024, process.returncode


def sizes(make, most):
    """Growing files of a construct: each with how large it is, in letters."""
    count, before = FIRST_SIZE, 0
    while True:
        files = make(count)
        size = sum(map(len, files.values()))
        whole = {name: len(text) for name, text in files.items()}
        if size <= before or any(length > min(most, LIMITS.get(name, LARGEST)) for name, length in whole.items()):
            return
        yield count, size, files
        count, before = count * GROWTH, size


def wrong_with(costs, base):
    """What is wrong with the last of some costs, each a size, seconds, megabytes and an exit code."""
    size, seconds, megabytes, code = costs[-1]
    if code not in JUDGED:
        yield f"exit {code}"
    if seconds > MOST_SECONDS:
        yield f"more than {MOST_SECONDS:g} s"
    if megabytes > MOST_MEGABYTES:
        yield f"more than {MOST_MEGABYTES} MB"
    if len(costs) > 1 and seconds - base > FLOOR:
        smaller, before = costs[-2][:2]
        if (seconds - base) / max(before - base, FLOOR / 2) > SLACK * size / smaller:
            yield "more than in proportion"


def grow(folder: Path, names: list[str], most: int) -> int:
    """Judge the files of constructs; how many went wrong."""
    (folder / "tree/a/b/c").mkdir(parents=True, exist_ok=True)
    base, failed = judge(folder, {"p.yaml": HEAD})[0], 0
    for name in names or CONSTRUCTS:
        costs = []
        for count, size, files in sizes(CONSTRUCTS[name], most):
            costs.append((size, *judge(folder, files)))
            wrong = ", ".join(wrong_with(costs, base))
            failed += bool(wrong)
            _, seconds, megabytes, code = costs[-1]
            print(
                f"{name:40} {count:9,} {size:11,} {seconds:6.2f} s {megabytes:5} MB  exit {code}  {wrong}", flush=True
            )
            if wrong:
                break
    return failed


def main() -> None:
    if sys.argv[1] == "cost":
        words = sys.argv[3:]
        most = int(words.pop(1)) if words[:1] == ["--most"] else LARGEST
        sys.exit(min(1, grow(Path(sys.argv[2]), words[words[:1] == ["--most"] :], most)))
    folder, first, count = build_repository(Path(sys.argv[1]) / "repo"), int(sys.argv[2]), int(sys.argv[3])
    valid = [file.read_text(encoding="utf-8") for file in sorted(HERE.glob("valid/*.yaml"))]
    texts = [file.read_text(encoding="utf-8") for file in sorted(HERE.glob("*valid/*.yaml"))] + valid * 5
    datas = [build_nodes(Path("valid"), text).data for text in valid]
    resource.setrlimit(resource.RLIMIT_DATA, (HARD_LIMIT, HARD_LIMIT))
    signal.signal(signal.SIGALRM, stop)
    file = folder / "fuzz.yaml"
    failures, slowest = [], (0.0, -1)
    loaded = 0
    for number in range(first, first + count):
        text = mutated(random.Random(number), texts, datas)
        file.write_text(text, encoding="utf-8", errors="replace", newline="")
        signal.alarm(LONGEST)
        began = time.process_time()
        try:
            load(file)
            loaded += 1
        except InvalidInput as error:
            if not all(problem.message and problem.code for problem in error.problems):
                failures.append([number, "a problem without words"])
        except KreaPipeError:
            pass
        except BaseException:  # noqa: BLE001 (whatever it is, it is what this looks for)
            failures.append([number, traceback.format_exc()[-1500:]])
        signal.alarm(0)
        slowest = max(slowest, (round(time.process_time() - began, 2), number))
    print(json.dumps({"failures": failures, "loaded": loaded, "slowest": slowest, "peak_mb": peak_megabytes()}))


def peak_megabytes() -> int:
    """The most memory that this process has had. Not ru_maxrss: a child's begins with its parent's."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    main()
