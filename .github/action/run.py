"""Runs all pipelines together, with one limit. The step fails with the worst exit code that means a failure."""

import json
import re
import signal
import subprocess
from pathlib import Path

from workflow import folder, given, kept_files, krea_pipe, output, run_step, say

from krea_pipe.cli.ci_log import print_command

WAITING = 6


class Run:
    """The run of one job. On a signal, krea-pipe cancels queued jobs and collects running ones."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[str] | None = None
        self.is_stopped = False

    def stop(self, *_: object) -> None:
        """Forward a signal: GitHub signals only this process when a job is cancelled."""
        self.is_stopped = True
        if self.child is not None:
            self.child.terminate()

    def run(self, command: list[str]) -> int:
        """Run krea-pipe and print its output. Returns its exit code."""
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8", errors="surrogateescape"
        ) as self.child:
            if self.is_stopped:  # the signal arrived before the process started
                self.child.terminate()
            assert self.child.stdout is not None
            for line in self.child.stdout:
                print(line, end="", flush=True)
        code = self.child.returncode
        return code if code >= 0 else 128 - code


def main() -> int:
    """Run the files; write the output `exit-code`, and the input of report.py."""
    files, noted = kept_files(), folder() / "runs"
    words = re.findall(r"[^ \t\r\n]+", given("ARGS"))
    if given("MAX_COST"):
        words += ["--max-cost", given("MAX_COST")]
    run = Run()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, run.stop)
    noted.write_text("[]", encoding="utf-8")
    before = set(_folders())
    print_command("group", f"krea-pipe run {', '.join(files)}")
    code = run.run([krea_pipe(), "run", *words, "--", *files])
    print_command("endgroup")
    reports = _reports([one for one in _folders() if one not in before])
    ends = [{"file": file, **reports.get(file, {"code": code, "folder": ""})} for file in files]
    noted.write_text(json.dumps(ends), encoding="utf-8")
    for one in ends:
        if one["code"] == WAITING:
            say("notice", f"{one['file']} waits for picks: pick images in the report, and commit the picks file")
    failed = 0 if code == WAITING else code
    output("exit-code", failed)
    return failed


def _folders() -> list[Path]:
    """The folders of runs; only krea-pipe creates them, whatever a pipeline prints."""
    runs = Path(given("KREA_PIPE_HOME") or ".krea-pipe").resolve() / "runs"
    return sorted(one for one in runs.iterdir() if (one / "report.json").is_file()) if runs.is_dir() else []


def _reports(folders: list[Path]) -> dict[str, dict[str, object]]:
    """The exit code and the folder of each run, by its pipeline file."""
    records = [(one, json.loads((one / "report.json").read_text(encoding="utf-8"))) for one in folders]
    return {record["pipeline"]["file"]: {"code": record["exit_code"], "folder": str(one)} for one, record in records}


if __name__ == "__main__":
    run_step(main)
