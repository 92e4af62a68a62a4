"""Checks all pipelines; each problem is annotated on its line."""

import os

from workflow import kept_files, krea_pipe, run_step


def main() -> int:
    """Replace this process with `krea-pipe validate`."""
    os.execv(krea_pipe(), ["krea-pipe", "validate", "--", *kept_files()])


if __name__ == "__main__":
    run_step(main)
