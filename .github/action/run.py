"""Runs one pipeline after the other. The step fails with the first exit code that means a failure."""

import json
import re
import signal
import subprocess
from pathlib import Path

from workflow import folder, given, kept_files, krea_pipe, output, run_step, say

from krea_pipe.cli.ci_log import print_command

WAITING, REFUSED, INTERRUPTED = 6, 4, 130


class Runs:
    """The runs of one job. On a signal, krea-pipe cancels queued jobs and collects running ones."""

    def __init__(self, words: list[str], home: Path) -> None:
        self.words, self.home = words, home
        self.child: subprocess.Popen[str] | None = None
        self.is_stopped = False

    def stop(self, *_: object) -> None:
        """Forward a signal: GitHub signals only this process when a job is cancelled."""
        self.is_stopped = True
        if self.child is not None:
            self.child.terminate()

    def run(self, file: str) -> tuple[int, str]:
        """Run one pipeline and print its output. Returns its exit code and the folder of its report, or ""."""
        before = self._folders()
        page = ""
        command = [krea_pipe(), "run", *self.words, "--", file]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8", errors="surrogateescape"
        ) as self.child:
            if self.is_stopped:  # the signal arrived before the process started
                self.child.terminate()
            assert self.child.stdout is not None
            for line in self.child.stdout:
                print(line, end="", flush=True)
                if line.startswith("report  "):
                    page = line.removeprefix("report  ").rstrip("\n")
        code = self.child.returncode
        self.child = None
        made = Path(page).resolve().parent if page else None
        # The pipeline can print such a line itself, so accept only a folder that this run has created.
        is_own = made is not None and made.name in self._folders() - before and made.parent == self.home / "runs"
        return code if code >= 0 else 128 - code, str(made) if is_own else ""

    def _folders(self) -> set[str]:
        runs = self.home / "runs"
        return {one.name for one in runs.iterdir()} if runs.is_dir() else set()


def main() -> int:
    """Run each file; write the output `exit-code`, and the input of report.py."""
    words = re.findall(r"[^ \t\r\n]+", given("ARGS"))
    if given("MAX_COST"):
        words += ["--max-cost", given("MAX_COST")]
    runs = Runs(words, Path(given("KREA_PIPE_HOME") or ".krea-pipe").resolve())
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, runs.stop)
    failed, done = 0, list[dict[str, object]]()
    noted = folder() / "runs"
    noted.write_text("[]", encoding="utf-8")
    for file in kept_files():
        print_command("group", f"krea-pipe run {file}")
        code, report = runs.run(file)
        print_command("endgroup")
        done.append({"code": code, "folder": report, "file": file})
        noted.write_text(json.dumps(done), encoding="utf-8")
        if code == WAITING:
            say("notice", f"{file} waits for picks: pick images in the report, and commit the picks file")
        elif code:
            failed = failed or code
        # After a refusal or an interrupt, the next run would end in the same way.
        if code in (REFUSED, INTERRUPTED) or runs.is_stopped:
            break
    output("exit-code", failed)
    return failed


if __name__ == "__main__":
    run_step(main)
