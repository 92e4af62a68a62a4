"""What has been done before `forked` forks: krea-pipe is imported and has run once, so that no fork begins anew.

A first run compiles the template of the report and imports what is needed late; the certificates of the world are read.
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
    folder, words, said = Path.cwd(), sys.argv, io.StringIO()
    sys.argv = ["krea-pipe", "run", "p.yaml", "--local"]
    with (
        tempfile.TemporaryDirectory() as place,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        contextlib.suppress(SystemExit),
    ):
        os.chdir(place)
        Path("p.yaml").write_text("version: 1\nprompt: lamp {{ n }}\nmatrix: {n: [1]}\n")
        main()
    os.chdir(folder)
    sys.argv = words
    assert "1 rendered" in said.getvalue(), said.getvalue()
    assert threading.active_count() == 1, "no other thread would go on in a fork"


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
