"""The page of commands says what the commands say."""

import importlib.util
from pathlib import Path

from krea_pipe.cli.lazy import COMMANDS

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_of_commands_is_what_they_say():
    spec = importlib.util.spec_from_file_location("cli_reference", DOCS / "cli_reference.py")
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    page = writer.PAGE.read_text(encoding="utf-8")
    assert page == writer.reference(), "write it anew: python docs/cli_reference.py"
    assert [name for name in COMMANDS if f"\n## {name}\n" not in page] == []
