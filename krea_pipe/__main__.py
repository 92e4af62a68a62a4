"""`python -m krea_pipe`."""

from krea_pipe.cli.main import main

main()
