"""What was paid adds up to Krea's bill, whichever homes know of it, and each amount has its groups."""

import csv
import json
from decimal import Decimal
from io import StringIO

import pytest
from command_line import Project, shared
from krea_server import picture, until
from money import STRANGER, check_spend, draw, inhabit, intrude, job_ids, kill, kill_at_post, lose_after_acting

STAGES = """version: 1
name: shop
budget: {usd: 9}
references: {house: {images: "refs/*.png"}}
stages:
  draft: {prompt: "{{ w }}", variant: medium-turbo, matrix: {w: [a, b, "local:fail-nsfw"]}}
  final: {prompt: "final {{ w }}", variant: large, matrix: {w: [a, "local:fail-empty"]}}
"""
TRAIN = ("styles", "train", "p.yaml", "house", "--name", "house", "--max-cost", "2")


@pytest.fixture(autouse=True)
def pictures(krea):
    """Pictures of the size that is asked for, and a job on the account: without them nothing is adopted."""
    draw(krea)
    inhabit(krea)


@pytest.fixture
def homes(tmp_path, krea):
    """Two homes with a folder each, and one store."""
    found = [Project(tmp_path / name, krea) for name in ("one", "two")]
    for home in found:
        home.path.mkdir()
        home.pipeline("abc")
    yield found
    for home in found:
        home.stop()


def groups(project, *by, env=(), words=()):
    """What was paid by the names of some groups, and how many jobs that is."""
    flags = [f"--by={one}" for one in by]
    rows = project.run("spend", "--json", *flags, *words, env=env).json["rows"]
    return {tuple(row[one] for one in by): (row["paid"], Decimal(row["paid_usd"])) for row in rows}


def usd(text):
    return Decimal(text)


def test_every_group_adds_up_to_the_bill(project, krea):
    for number in range(5):
        project.write(f"refs/{number}.png", picture(seed=f"house {number}", size=(600, 520)))
    project.write("p.yaml", STAGES)
    assert project.run("run", "p.yaml", "-k", "stage:draft", env={"GIT_AUTHOR_NAME": "=Ada  L"}).code == 1
    krea.clock.advance(40 * 86400)
    assert project.run("run", "p.yaml", "-k", "stage:final", env={"PATH": "/nowhere"}).code == 1
    assert project.run(*TRAIN, env={"GIT_AUTHOR_NAME": "Bo"}).code == 0

    total = check_spend(project, krea, training="2")
    assert (total["paid"], total["not_billed"], total["uncertain"], total["in_flight"]) == (5, 1, 0, 0)
    draft, final, style = (2, usd("0.03")), (2, usd("0.12")), (1, usd("2"))
    assert groups(project, "stage") == {("draft",): draft, ("final",): final, ("styles",): style}
    assert groups(project, "person") == {("=Ada L",): draft, ("unknown",): final, ("Bo",): style}
    assert list(groups(project, "month").values()) == [draft, (3, usd("2.12"))]
    assert groups(project, "pipeline", "home") == {("shop", ".krea-pipe"): (5, usd("2.15"))}
    assert groups(project, "variant") == {("k2",): style, ("large",): final, ("medium-turbo",): draft}

    first, second = sorted(month for (month,) in groups(project, "month"))
    assert groups(project, "stage", words=["--until", first]) == {("draft",): draft}
    assert ("draft",) not in groups(project, "stage", words=["--since", f"{second}-01"])
    table = list(csv.reader(StringIO(project.run("spend", "--by=person", "--csv=-").out.lstrip("\ufeff"))))
    assert [table[0][:3], *(row[:3] for row in table[1:])] == [
        ["person", "paid", "paid_usd"],
        ["'=Ada L", "2", "0.03"],
        ["Bo", "1", "2.00"],
        ["unknown", "2", "0.12"],
    ]
    shown = project.run("spend", "--by=stage", "--csv=spend.csv").out
    assert "total      5  $2.15" in shown
    assert "$2.00 of it is for trainings" in shown
    assert (project.path / "spend.csv").read_bytes().startswith(b"\xef\xbb\xbfstage,paid,")


def test_a_killed_run_and_a_lost_answer_are_on_the_bill_once(project, krea):
    project.pipeline("abcd")
    krea.rule("POST", "/generate/", lose_after_acting, text='"c"', times=1)
    kill_at_post(krea, project, "b", acts="before")
    project.start("run", "p.yaml").wait()
    krea.catch_up()
    assert check_spend(project, krea)["uncertain"] + check_spend(project, krea)["in_flight"] >= 1
    krea.finish_jobs()
    assert project.run("run", "p.yaml").code == 0
    assert check_spend(project, krea) == {**check_spend(project, krea), "paid": 4, "uncertain": 0, "in_flight": 0}


def test_a_request_that_was_sent_again_leaves_its_first_answer_uncertain(project, krea):
    """Krea may have billed both: the second price is known, and the first stays apart."""
    project.pipeline("ab")
    intrude(krea, text='"b"', jobs=2)
    assert project.run("run", "p.yaml").code == 1
    assert project.run("run", "p.yaml", "--uncertain", "resubmit").code == 0
    total = project.run("spend", "--json").json["total"]
    assert (total["paid"], total["uncertain"], len(job_ids(krea, "b"))) == (2, 1, 2)
    billed = sum(bill.amount for bill in krea.world.bills if bill.job_id not in job_ids(krea, STRANGER))
    assert usd(total["paid_usd"]) + usd(total["uncertain_usd"]) == billed
    assert "1 request whose outcome is unknown ($0.03)" in project.run("spend").out


def test_homes_that_share_a_store_count_a_job_once_for_the_home_that_sent_it(homes, krea, store):
    one, two = homes
    krea.world.latency = 1e6
    process = one.start("run", "p.yaml", env=shared(store, GIT_AUTHOR_NAME="Ada"))
    until(lambda: len(list((store / "loopback/jobs").rglob("*-*"))) == 3, "the jobs of the first home in the store")
    kill(process)
    krea.catch_up()
    krea.finish_jobs()
    two.pipeline("abcd")
    assert two.spawn("run", "p.yaml", env=shared(store, GIT_AUTHOR_NAME="Bo")).code == 0

    words = ("--by=person", "--by=home", "--by=variant", "--json")
    expected = {("Ada", 3, "medium"), ("Bo", 1, "medium")}

    def found(done):
        assert (done.code, usd(done.json["total"]["paid_usd"]), done.json["total"]["in_flight"]) == (0, usd("0.12"), 0)
        return {(row["person"], row["paid"], row["variant"]) for row in done.json["rows"]}

    assert found(two.run("spend", *words)) == expected
    assert found(two.run("spend", *words, "--home", one.home, "--home", two.home)) == expected
    assert check_spend(two, krea, "--home", str(one.home))["paid"] == 4
    for home in homes:  # one of them has never collected its jobs
        done = home.spawn("spend", *words, env=shared(store))
        assert (found(done), done.json["store"]) == (expected, f"{store.as_uri()}/loopback")
    alone = one.run("spend", "--json", "--no-store", env=shared(store)).json
    assert (alone["total"]["paid"], alone["total"]["in_flight"], alone["store"]) == (0, 3, None)
    rows = two.run("spend", *words, "--home", one.home).json["rows"]
    assert {row["person"]: row["home"] for row in rows} == {"Ada": str(one.home), "Bo": ".krea-pipe"}


def test_a_claim_that_is_not_believed_is_left_out_and_named(homes, krea, store):
    one, _ = homes
    secret = shared(store, KREA_PIPE_REMOTE_SECRET="0123456789abcdef")
    assert one.spawn("run", "p.yaml", env=secret).code == 0
    claim = next((store / "loopback/claims").rglob("0001"))
    claim.write_text(claim.read_text().replace("0.03", "9.99"))
    done = one.spawn("spend", "--json", env=secret)
    assert usd(done.json["total"]["paid_usd"]) == usd("0.09")
    assert "some claims are left out of the sum" in done.err


def test_lines_of_earlier_versions_are_counted_without_a_person(project, krea):
    project.pipeline("ab")
    assert project.run("run", "p.yaml", env={"GIT_AUTHOR_NAME": "Ada"}).code == 0
    lines = [{k: v for k, v in line.items() if k not in ("person", "variant")} for line in project.journal()]
    (project.space / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert groups(project, "person", "variant", "stage") == {("unknown", "unknown", "p"): (2, usd("0.06"))}
    check_spend(project, krea)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--since", "May"], "'May' is not a day like 2026-11-30, or a month like 2026-11"),
        (["--home", "nowhere"], "nowhere is not a home folder"),
        (["--json", "--csv", "-"], "--json and --csv - both print to stdout"),
    ],
)
def test_what_cannot_be_added_up_is_refused(project, words, message):
    done = project.run("spend", *words)
    assert (done.code, message in done.text) == (2, True), done.text


def test_nothing_was_paid_for_proofs(project, krea):
    project.pipeline("a")
    assert project.run("run", "p.yaml", "--local").code == 0
    assert project.run("spend", "--since", "2020-01").out == f"Nothing was paid to {krea.base} since 2020-01-01.\n"
