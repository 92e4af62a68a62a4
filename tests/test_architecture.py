"""The shape of the code, read from its imports: one direction, small parts, and edges where they belong."""

import ast
import re
from functools import cache, wraps
from pathlib import Path

from click import Context

import krea_pipe

ROOT = Path(krea_pipe.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)

# Low to high; what shares a line may import each other. Modules that are not named stand at the bottom.
ROOMS = ("core", "pipeline", "matrix", "store", "planning", "api", "executor", "report", "app", "cli")
"""Low to high: a room is entered from higher ones alone. `local` stands apart."""
AT_ROOT = {"__init__", "__main__", "_version"}
PURE = {"pipeline", "matrix", "planning"}
"""The rooms before a run: the same files and the same store give the same plan."""
IMPURE = {
    *("asyncio", "datetime", "http", "httpx", "multiprocessing", "random", "requests", "secrets", "socket", "ssl"),
    *("subprocess", "time", "urllib.request", "uuid"),
}
JOURNAL = {
    *("adopted", "attached", "cleared", "declined", "disowned", "submitted", "submitting", "unanswered", "unfetched"),
    "unseen",
}
"""Events that only the journal has; other things have failed and are done as well."""
WRITERS = {"store", "executor", "app"}
LOCAL_USERS = {
    ("krea_pipe.app.execution", "krea_pipe.local.app"),
    *(("krea_pipe.app.served_engine", f"krea_pipe.local.{name}") for name in ("job", "order")),
    *(("krea_pipe.cli.commands.serve", f"krea_pipe.local.{name}") for name in ("server", "script", "script_file")),
}
"""Who hands the local Krea on: to the client as a transport, or to those who want it served."""
LATE = {
    "krea_pipe.api.diffusers_backend": "torch and diffusers, which are an extra",
    "krea_pipe.app.execution": "the network, and the local Krea",
    "krea_pipe.app.file_events": "watchfiles, which is an extra",
    "krea_pipe.app.jobs": "the network",
    "krea_pipe.app.notify": "httpx and apprise",
    "krea_pipe.executor.fetch": "Pillow, and threads",
    "krea_pipe.app.pictures": "Pillow",
    "krea_pipe.app.ray_cluster": "Ray, and what a worker has of krea-pipe",
    "krea_pipe.store.remote.bucket": "obstore",
    "krea_pipe.report.recipe_delivery": "threads",
    "krea_pipe.store.remote.remote": "the parts of a shared store, which few runs have",
    "krea_pipe.app.flow": "what carries out and reports a run",
    "krea_pipe.cli.commands.run": "engines, and runs of several files",
    "krea_pipe.cli.commands.validate": "git",
    "krea_pipe.cli.run_output": "rich",
    "krea_pipe.cli.main": "what tells errors",
    "krea_pipe.pipeline.references": "Pillow",
    "krea_pipe.pipeline.spec.schema_check": "jsonschema",
    "krea_pipe.pipeline.template.pieces": "Jinja",
    "krea_pipe.pipeline.template.template": "Jinja",
}
"""Where modules are imported when they are needed, and not before: typed, so that mypy checks what is called."""
READERS = {"krea_pipe.store.events", "krea_pipe.store.replay"}
EDGES = {
    *("krea_pipe.app.package", "krea_pipe.report.decisions", "krea_pipe.report.build", "krea_pipe.__main__"),
    "krea_pipe.app.shard_task",
}
"""Where the environment is read, besides the command line."""
MAX_FILE = 500
MAX_FUNCTION = 60
BAD_NAMES = {
    *("utils", "util", "helpers", "helper", "manager", "common", "misc", "base"),
    # Names that modules had before they got the standard terms of CONTRIBUTING.md.
    *("conduct", "keeping", "weighing", "inside", "layout", "entries", "signing", "approval", "acceptance", "spending"),
    *("upkeep", "handoff", "turn", "room", "purse", "gate", "turnstile", "scribe", "vigil", "sight", "roll", "settle"),
    *("shortfall", "errand", "neighbours", "hooks", "live", "voice", "telling", "trouble", "tally", "fate", "brief"),
    *("line", "front", "book", "world", "desk", "shelf", "soundness", "survey", "waste", "reach", "reachable"),
    *("patience", "echo", "kept", "wording", "uses", "forms", "writable"),
    *("moves", "narrow", "joined", "pairs", "origins", "places", "single", "letters", "paint", "packing", "markup"),
    *("choice", "sidecar", "guard"),
}


def name_of(path: Path) -> str:
    return ".".join(("krea_pipe", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


@cache
def trees():
    """Every module, parsed once and not before a test asks: other workers collect this file as well."""
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


@cache
def nodes(tree):
    """Every node of a module, found once: to walk a tree takes as long as to parse it."""
    return tuple(ast.walk(tree))


def of_each(things):
    """Makes one test of a check of each of many things, which says all that is wrong: a test for each would take longer
    to hand out than to run."""

    def made(check):
        @wraps(check)
        def test():
            wrong = []
            for thing in things():
                try:
                    check(thing)
                except AssertionError as error:
                    wrong.append(f"{thing}: {error}")
            assert wrong == []

        del test.__wrapped__  # its argument is no fixture
        return test

    return made


def room_of(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def imports(tree):
    """Every module that a tree imports, with the name that it takes; those for types alone as well."""
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner, "") if inner in trees() else (node.module, alias.name)


def ours(tree):
    return {name for name, _ in imports(tree) if name.split(".")[0] == "krea_pipe"}


def test_every_module_is_in_a_room():
    assert {room_of(module) for module in trees()} - {*ROOMS, "local"} == AT_ROOT


@of_each(trees)
def test_rooms_are_entered_from_above(module):
    capacity = room_of(module)
    for target in ours(trees()[module]):
        other = room_of(target)
        if (module, target) in LOCAL_USERS or other in AT_ROOT:
            continue
        if "local" in (capacity, other):
            assert capacity == other, f"imports {target}: the local Krea shares nothing"
        elif capacity not in AT_ROOT:
            assert ROOMS.index(other) <= ROOMS.index(capacity), f"imports {target}, which is above it"


def test_modules_do_not_import_in_circles():
    found = {module: ours(tree) - {module} for module, tree in trees().items()}
    while found:
        free = [module for module, targets in found.items() if not targets & found.keys()]
        assert free, f"a circle among {sorted(found)}"
        for module in free:
            del found[module]


@of_each(trees)
def test_what_comes_before_a_run_only_reads_files(module):
    if room_of(module) in PURE:
        found = {name for name, _ in imports(trees()[module])}
        assert {name for name in found for bad in IMPURE if f"{name}.".startswith(f"{bad}.")} == set()


@of_each(trees)
def test_private_names_stay_in_their_module(module):
    tree = trees()[module]
    own = {name for name, _ in imports(tree)}
    taken = [name for source, name in imports(tree) if source.startswith("krea_pipe.") and re.match("_(?!_)", name)]
    modules = {name.rpartition(".")[2] for name in own if name in trees()}
    for node in nodes(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            taken += [node.attr] if node.attr.startswith("_") and node.attr != "_replace" else []  # of named tuples
    assert taken == []


@of_each(trees)
def test_the_journal_has_one_reader(module):
    """Whoever compares the name of an event gives it a meaning."""
    if module in READERS:
        return
    for node in nodes(trees()[module]):
        compared = []
        if isinstance(node, ast.Compare):
            compared = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            compared = [node.value]
        elif isinstance(node, ast.Dict):
            compared = [key for key in node.keys if key is not None]
        named = {one.value for part in compared for one in ast.walk(part) if isinstance(one, ast.Constant)} & JOURNAL
        assert len(named) <= isinstance(node, ast.Dict), f"line {node.lineno}"


@of_each(trees)
def test_the_journal_has_few_writers(module):
    if room_of(module) not in WRITERS:
        writes = {"krea_pipe.store.ledger", "krea_pipe.executor.journal_writer"}
        assert not ours(trees()[module]) & writes
        assert not re.search(r"journal\.append|scribe\.", ast.unparse(trees()[module]))


@of_each(trees)
def test_the_source_of_an_image_is_text_in_one_place(module):
    """Elsewhere it is a type: whoever compares the begin of its text has to know all kinds of source."""
    if module == "krea_pipe.core.request":
        return
    for node in nodes(trees()[module]):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not re.match(r"(sha256|key):(?! )", node.value), f"line {node.lineno}"


@of_each(trees)
def test_no_module_changes_what_a_module_is(module):
    assert not re.search(r"sys\.modules|\.__class__ =", ast.unparse(trees()[module]))


@of_each(trees)
def test_imports_stand_at_the_top(module):
    inside = [
        node.lineno
        for scope in nodes(trees()[module])
        if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(scope)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert bool(inside) == (module in LATE), inside
    if module not in ("krea_pipe", "krea_pipe.cli.lazy"):
        assert not re.search(r"import_module|__import__", ast.unparse(trees()[module]))


def test_the_table_of_commands_leads_somewhere():
    from krea_pipe.cli.lazy import COMMANDS, LazyGroup

    group = LazyGroup()
    assert group.list_commands(Context(group)) == list(COMMANDS)
    for name in COMMANDS:
        assert group.get_command(Context(group), name).name == name


@of_each(lambda: FILES)
def test_files_are_short_and_named_for_what_they_are_about(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < MAX_FILE
    assert path.stem not in BAD_NAMES


@of_each(trees)
def test_functions_are_short(module):
    for node in nodes(trees()[module]):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < MAX_FUNCTION, f"{module}.{node.name}"


@of_each(trees)
def test_only_the_command_line_prints_or_ends_the_program(module):
    if room_of(module) == "cli":
        return
    for node in nodes(trees()[module]):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "exit", "quit", "sys.exit", "os._exit", "input"}, f"{module}:{node.lineno}"
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            assert not {name.split(".")[0] for name in names} & {"click", "rich"}, f"{module}:{node.lineno}"


@of_each(trees)
def test_the_environment_is_read_at_the_edge(module):
    if module not in EDGES and room_of(module) != "cli":
        assert not re.search(r"os\.environ|getenv", ast.unparse(trees()[module]))


@of_each(trees)
def test_errors_are_named_where_they_are_caught(module):
    """Two boundaries alone take whatever comes: the program's, and that of the thread that writes the journal."""
    broad = [
        node.lineno
        for node in nodes(trees()[module])
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or names_in(node.type) & {"Exception", "BaseException"})
    ]
    assert len(broad) <= (
        module in {"krea_pipe.cli.main", "krea_pipe.executor.journal_writer", "krea_pipe.executor.executor"}
    ), broad


def names_in(tree):
    return {node.id for node in nodes(tree) if isinstance(node, ast.Name)}
