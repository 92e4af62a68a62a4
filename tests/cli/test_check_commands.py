"""Commands as checks: what they get, what they may print, and what a run does about it."""

import json
import os
import signal
import sys
import time
from xml.etree import ElementTree

import pytest
from command_line import KEY
from krea_server import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the commands are scripts of a shell")

# Each command with the value, and a part of the message, that the report has of it.
COMMANDS = {
    "number": ("echo 0.75", 0.75, ""),
    "json": ("""echo '{"value": 2, "message": "two faces"}'""", 2.0, "two faces"),
    "below": ("""echo '{"value": -3, "message": "dark"}'""", -3.0, "-3 is less than 0: dark"),
    "garbage": ("echo good picture", None, "the command printed no number: good picture"),
    "truth": ("echo true", None, "the command printed no number: true"),
    "nan": ("echo NaN", None, "the command printed no number: NaN"),
    "huge": ("echo 1e999", None, "the command printed no number: 1e999"),
    "silent": (":", None, "the command printed nothing"),
    "broken": ("echo 1; echo no model >&2; exit 3", None, "the command ended with exit code 3: no model"),
    "slow": ("sleep 300 & echo $! >sleeper.txt; wait", None, "the command took more than 0.5 s"),
    "loud": ("cat /dev/zero", None, "the command printed more than 65,536 bytes"),
    "reads": ("wc -c", 0.0, ""),
    "prompted": ("""test "$2" = 'a "lamp" {image} $HOME' && echo 1""", 1.0, ""),
    "image": ('head -c 4 "$1" | tail -c 3 | grep -q PNG && case "$1" in *.png) echo 5;; esac', 5.0, ""),
    "secret": (f"env | grep -c -e KREA -e {KEY} || true", 0.0, ""),
}


def script(project, name, text):
    file = project.write(f"{name}.sh", f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def pipeline(project, checks, prompt="a lamp"):
    lines = "".join(f"  - {json.dumps(one)}\n" for one in checks)
    project.write("p.yaml", f"version: 1\nbudget: {{usd: 5}}\nprompt: {json.dumps(prompt)}\nchecks:\n{lines}")


def command(name, **more):
    return {"measure": "command", "name": name, "run": f"./{name}.sh {{image}}", **more}


def results(done):
    (row,) = done.report["cells"]
    return {one["name"]: one for one in row["checks"]}


def ended(pid):
    """Whether a process has ended, or ends within a short time."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_what_a_command_prints_is_its_value_and_the_rest_is_told(project):
    checks = []
    for name, (text, _, _) in COMMANDS.items():
        script(project, name, text)
        checks.append(command(name, min=0, timeout=0.5 if name == "slow" else 20))
    checks[-3]["run"] = "./prompted.sh {image} {prompt}"
    pipeline(project, checks, 'a "lamp" {image} $HOME')
    done = project.run("run", "p.yaml", "--json", "--allow-commands", env={"MY_COPY": f"Bearer {KEY}"})
    assert done.code == 0  # none of them has `fail: true`
    found = results(done)
    for name, (_, value, message) in COMMANDS.items():
        assert (found[name]["value"], found[name]["message"]) == (value, message), name
        assert found[name]["passed"] is (value is not None and value >= 0), name
    assert ended(int((project.path / "sleeper.txt").read_text()))


def test_a_value_is_kept_until_the_command_or_its_words_change(project):
    script(project, "score", "echo run >>calls.txt; echo 1")
    calls = project.path / "calls.txt"

    def runs(**more):
        calls.write_text("")
        pipeline(project, [command("score", **more)])
        done = project.run("run", "p.yaml", "--json", "--allow-commands")
        assert results(done)["score"]["value"] in (1, 2)
        return calls.read_text().count("run")

    assert runs() == 1
    assert runs() == 0
    assert runs(max=0, fail=True, timeout=5) == 0
    script(project, "score", "echo run >>calls.txt; echo 2")
    assert runs() == 1
    assert runs(run="./score.sh {image} --fast") == 1
    assert runs(run="./score.sh {image} --fast") == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_commands_and_the_report_says_what_was_measured(project, number):
    script(project, "score", "echo $$ >pid.txt.new; mv pid.txt.new pid.txt; sleep 300")
    pipeline(project, [{"measure": "brightness", "min": 0}, command("score", min=0.5, fail=True, timeout=600)])
    process = project.start("run", "p.yaml", "--json", "--allow-commands")
    pid = int(until((project.path / "pid.txt").exists, "the command") and (project.path / "pid.txt").read_text())
    process.send_signal(number)
    done = project.finish(process)
    assert (done.code, done.counts) == (130, (1, 0, 0))
    assert ended(pid)
    assert done.json["error"]["code"] == "checks_interrupted"
    score = results(done)["score"]
    assert (score["passed"], score["message"]) == (None, "not measured, because the run was interrupted")
    assert project.run("plan", "p.yaml", "-k", "check:failed").code == 7
    script(project, "score", "echo 1")
    assert project.run("run", "p.yaml", "--quiet", "--allow-commands").code == 0


def test_a_failed_command_is_run_again(project):
    script(project, "score", "test -e model.bin && echo 1")
    pipeline(project, [command("score", fail=True)])
    done = project.run("run", "p.yaml", "--json", "--allow-commands")
    assert (done.code, results(done)["score"]["passed"]) == (9, False)
    project.write("model.bin", "")
    done = project.run("run", "p.yaml", "--json", "--allow-commands")
    assert (done.code, results(done)["score"]["passed"]) == (0, True)


@pytest.mark.parametrize("words", [["run", "p.yaml"], ["run", "p.yaml", "--local"], ["run", "p.yaml", "--frozen"]])
def test_a_run_without_the_option_sends_nothing_and_starts_no_command(project, krea, words):
    script(project, "score", "touch started; echo 1")
    pipeline(project, [command("score")])
    done = project.run(*words)
    assert done.code == 2
    assert "p.yaml:5:5: error: the checks of this pipeline run commands on this machine: `score`" in done.err
    assert krea.seen == []
    assert not (project.path / "started").exists()


def test_other_commands_start_no_command(project):
    script(project, "score", "touch started; echo 1")
    pipeline(project, [command("score")])
    for words in (["validate", "p.yaml"], ["plan", "p.yaml"], ["expand", "p.yaml"], ["explain", "p.yaml", "p"]):
        assert project.run(*words).code == 0
    assert not (project.path / "started").exists()


def test_a_program_that_cannot_run_is_found_before_anything_is_sent(project, krea):
    project.write("plain.sh", "echo 1")
    pipeline(project, [command("plain"), command("gone"), {**command("none"), "run": "no-such-program-4711 {image}"}])
    done = project.run("run", "p.yaml", "--allow-commands")
    assert (done.code, krea.seen) == (2, [])
    assert 'there is no program "./gone.sh"' in done.err
    pipeline(project, [command("plain"), {**command("none"), "run": "no-such-program-4711 {image}"}])
    done = project.run("run", "p.yaml", "--allow-commands")
    assert (done.code, krea.seen) == (2, [])
    assert "./plain.sh is not a program that can be run" in done.err
    assert "no-such-program-4711 is not a program that can be run" in done.err


def test_a_failed_check_is_an_exit_code_a_failure_in_junit_and_a_selection(project, krea):
    script(project, "score", 'case "$2" in *lantern*) echo 0.2;; *) echo 0.9;; esac')
    check = {**command("score", min=0.5, fail=True), "run": "./score.sh {image} {prompt}"}
    more = f"budget: {{usd: 5}}\nchecks: [{json.dumps(check)}, {{measure: width, max: 100}}]"
    project.pipeline(["lamp", "lantern"], more=more)
    done = project.run("run", "p.yaml", "--json", "--allow-commands")
    assert done.code == done.json["exit_code"] == 9
    assert done.json["failed_checks"] == {"score": 1, "width": 2}
    assert done.counts == (2, 0, 0)
    assert project.image("lantern").exists()
    assert project.events("done")[0]["result"]["cost_usd"] == "0.03"
    suite = ElementTree.parse((project.path / done.json["report"]).with_name("junit.xml")).getroot()
    assert suite.get("failures") == "1"
    failed = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failed == ["p/lantern"]
    assert set(project.plan("-k", "check:score")) == {"lantern"}
    assert set(project.plan("-k", "check:failed and not check:score")) == {"lamp"}
    exported = project.run("export", "-k", "not check:score", "--json")
    assert exported.json["images"] == 1
    assert project.run("run", "p.yaml", "--quiet", "--allow-commands", "-k", "check:score").code == 9
    assert project.run("run", "p.yaml", "--quiet", "--allow-commands", "-k", "not check:score").code == 0
    assert project.run("plan", "p.yaml", "-k", "check:scor").code == 2
    assert project.run("expand", "p.yaml", "-k", "check:failed").code == 2
    project.pipeline(["lamp", "lantern"], more=f"{more}\ndefaults: {{seed: 7}}")  # of new requests nothing is known
    assert project.run("plan", "p.yaml", "-k", "check:score").code == 7
    assert len(krea.posts) == 2


def test_checks_of_a_used_file_run_beside_it_and_are_of_all_stages(project):
    project.write("brand/score.sh", "#!/bin/sh\ncat value.txt\n").chmod(0o755)
    project.write("brand/value.txt", "0.25")
    score = '{measure: command, run: "./score.sh {image}", max: 1}'
    project.write("brand/brand.yaml", f"version: 1\nchecks: {{score: {score}, other: {{measure: width}}}}\n")
    project.write("p.yaml", "version: 1\nuse: brand/brand.yaml\nbudget: {usd: 1}\nprompt: a lamp\nchecks: [score]\n")
    found = results(project.run("run", "p.yaml", "--json", "--allow-commands"))
    assert {name: one["value"] for name, one in found.items()} == {"score": 0.25}
    stages = "stages: {a: {prompt: a lamp}, b: {prompt: a cup, checks: [other]}, c: {prompt: a vase, checks: []}}"
    used = "version: 1\nuse: brand/brand.yaml\nbudget: {usd: 1}\ndefaults: {checks: [score, other]}\n"
    project.write("p.yaml", used + stages)
    done = project.run("run", "p.yaml", "--json", "--allow-commands")
    checks = {row["id"]: [one["name"] for one in row.get("checks", [])] for row in done.report["cells"]}
    assert checks == {"a": ["score", "other"], "b": ["other"], "c": []}
    assert "warning" not in project.run("validate", "p.yaml").text


def test_a_batch_exits_with_the_worst_code_and_refuses_commands_of_any_file(project, krea):
    script(project, "score", "echo 0.1")
    pipeline(project, [command("score", min=0.5, fail=True)])
    project.write("q.yaml", "version: 1\nbudget: {usd: 1}\nprompt: a cup\n")
    refused = project.run("run", "p.yaml", "q.yaml")
    assert "--allow-commands" in refused.text
    done = project.run("run", "p.yaml", "q.yaml", "--allow-commands")
    assert done.code == 9, done.text
    assert len(krea.posts) == 2
