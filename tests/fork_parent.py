"""What has been done before `forked` forks: krea-pipe is imported, and has run once, so that each fork need not begin anew.

A first run reads the certificates of the world, compiles the template of the report and imports what others load late.
"""

import contextlib
import gc
import importlib
import io
import os
import ssl
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from pkgutil import walk_packages

from plain_pictures import WARM, look_once

import krea_pipe
from krea_pipe.cli.main import main

NOT_IMPORTED = {
    "krea_pipe.__main__",  # the program itself
    "krea_pipe.api.diffusers_pipeline",  # it needs an extra that is not installed here
}
LATE = ("anyio._backends._asyncio", "encodings.idna", "encodings.unicode_escape")
"""What is imported for the first connection."""


def run_once():
    """Run a pipeline of one cell from its file to its report, and leave nothing behind."""
    before = Path.cwd(), sys.argv
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, quiet[0], quiet[1]:
        os.chdir(folder)
        Path("p.yaml").write_text("version: 1\nprompt: lamp {{ n }}\nmatrix: {n: [1]}\n")
        sys.argv = ["krea-pipe", "run", "p.yaml", "--local", "--json"]
        try:
            main()
        except SystemExit as ending:
            assert ending.code == 0, "the first run has failed"
        os.chdir(before[0])
        sys.argv = before[1]
    assert threading.active_count() == 1, "only this thread would go on in a fork"


ssl.create_default_context = cache(ssl.create_default_context)
ssl.create_default_context()
for module in walk_packages(krea_pipe.__path__, "krea_pipe."):
    if module.name not in NOT_IMPORTED:
        importlib.import_module(module.name)
for name in LATE:
    importlib.import_module(name)
look_once(WARM)
run_once()
gc.freeze()
