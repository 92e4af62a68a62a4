"""The shape of the code, read from its imports: one direction, small parts, and edges where they belong."""

import ast
import re
from functools import cache, wraps
from pathlib import Path

import krea_pipe

ROOT = Path(krea_pipe.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)

# Low to high; what shares a line may import each other. Modules that are not named stand at the bottom.
LAYERS = """
    errors
    listening writable
    secret_kinds
    excerpts
    problem_list near_names
    nodes syntax sandbox sampling masking
    source inside lfs git
    checkout
    template template_paths fields cell_ids
    picks layout entries
    pick_changes shorthand edits
    pipeline
    spec
    selection
    image_parts image_header image_work png_text likeness
    signing
    images
    request
    references
    staged
    loading
    rendering rule_index
    weighing precedence
    resolve out_paths
    pixels pricing
    lockfile
    cell cell_problems
    matrix
    selecting
    picking graph
    outcome
    settings
    store
    plan
    spending keeping explain exit_codes acceptance approval
    api
    run
    report
    conduct
    sheet
    handoff
    upkeep
    events
    notify
    services
    flow
    comparison
    background
    package
    view
    cli
"""
LEVELS = {name: level for level, line in enumerate(LAYERS.split("\n")) for name in line.split()}
FREE = {"__init__"}
MAX_FILE = 500
MAX_FUNCTION = 60
BAD_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "base"}


def name_of(path: Path) -> str:
    return ".".join(("krea_pipe", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


@cache
def trees():
    """Every module, parsed once and not before a test asks: other workers collect this file as well."""
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


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


def part_of(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def imports(tree):
    """Every module of ours that a tree imports, with the node that does it; not what is for types alone."""
    typing = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            found = [
                f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in trees() else node.module for a in node.names
            ]
        else:
            continue
        for name in found:
            if name.split(".")[0] == "krea_pipe":
                yield name, node


def test_every_part_has_a_level():
    parts = {part_of(module) for module in trees()}
    assert parts - set(LEVELS) - FREE - {"local", "__main__", "data"} == set()


@of_each(trees)
def test_imports_go_down_only(module):
    part = part_of(module)
    for target, _ in imports(trees()[module]):
        other = part_of(target)
        if (part, target) == ("package", "krea_pipe.local.in_process"):
            continue
        if part == "local" or other == "local":
            assert part == other, f"{module} imports {target}: the local Krea shares nothing"
        elif part != "__main__" and other not in FREE:
            assert LEVELS[other] <= LEVELS[part], f"{module} imports {target}, which stands above it"


def test_parts_do_not_import_in_circles():
    found = {module: {target for target, _ in imports(tree)} - {module} for module, tree in trees().items()}
    while found:
        free = [module for module, targets in found.items() if not targets & found.keys()]
        assert free, f"a circle among {sorted(found)}"
        for module in free:
            del found[module]


@of_each(trees)
def test_imports_stand_at_the_top(module):
    inside = [
        node.lineno
        for scope in ast.walk(trees()[module])
        if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(scope)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert inside == []
    if module not in ("krea_pipe", "krea_pipe.cli.lazy"):
        assert not re.search(r"import_module|__import__", ast.unparse(trees()[module]))


def test_the_table_of_late_imports_leads_somewhere():
    from krea_pipe.cli import lazy

    addresses = [address for address, _ in lazy.COMMANDS.values()]
    addresses += [value for name, value in vars(lazy).items() if name.isupper() and isinstance(value, str)]
    assert len(addresses) > 8
    for address in addresses:
        assert lazy.load(address) is not None
    local = [address for address in addresses if address.startswith("krea_pipe.local")]
    assert local == [lazy.LOCAL_TRANSPORT]


@of_each(lambda: FILES)
def test_files_are_short_and_named_for_what_they_are_about(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < MAX_FILE
    assert path.stem not in BAD_NAMES


@of_each(trees)
def test_functions_are_short(module):
    for node in ast.walk(trees()[module]):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < MAX_FUNCTION, f"{module}.{node.name}"


@of_each(trees)
def test_only_the_command_line_prints_or_ends_the_program(module):
    if part_of(module) == "cli":
        return
    for node in ast.walk(trees()[module]):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "exit", "quit", "sys.exit", "os._exit", "input"}, f"{module}:{node.lineno}"
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            assert not {name.split(".")[0] for name in names} & {"click", "rich"}, f"{module}:{node.lineno}"


@of_each(trees)
def test_the_environment_is_read_at_the_edge(module):
    if part_of(module) not in ("cli", "package", "report", "__main__"):
        assert not re.search(r"os\.environ|getenv", ast.unparse(trees()[module]))


@of_each(trees)
def test_errors_are_named_where_they_are_caught(module):
    """Two boundaries alone take whatever comes: the program's, and that of the thread that writes the journal."""
    broad = [
        node.lineno
        for node in ast.walk(trees()[module])
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or names_in(node.type) & {"Exception", "BaseException"})
    ]
    assert len(broad) <= (module in {"krea_pipe.cli.main", "krea_pipe.run.scribe", "krea_pipe.run.engine"}), broad


def names_in(tree):
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
