"""What a lost answer is judged to be, by values alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from krea_pipe.api.wire import Job
from krea_pipe.core.outcome import iso
from krea_pipe.executor.account_jobs import NewJobs
from krea_pipe.executor.judge import Evidence, FoundJob, LostPost, Unclear, judge
from krea_pipe.store.request_state import Post

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def job(name, seconds):
    return Job(name, "queued", created_at=at(seconds))


def lost_post(name, since, until, *, is_exact=True, not_made=()):
    """A POST between two times of Krea's clock, which are not short enough to tell its job by them."""
    post = Post(
        key=name,
        run="r",
        origin="o",
        began=iso(NOON),
        after=iso(at(since)),
        before=iso(at(until)),
        is_exact=is_exact,
        known_since=iso(NOON),
    )
    return LostPost(post, not_made=frozenset(not_made))


def test_of_two_jobs_the_one_that_was_listed_before_the_other_request_is_the_first_ones():
    first, second = job("first", 11), job("second", 16)
    own, rival = lost_post("a", 10, 12), lost_post("b", 15, 17, not_made=["first"])
    evidence = Evidence(
        own, NewJobs((second, first)), rivals=(rival,), late=timedelta(seconds=10), is_shown=True, is_settled=True
    )
    assert judge(evidence) == FoundJob(first)


def test_two_jobs_of_which_each_may_be_of_either_request_stay_open():
    first, second = job("first", 11), job("second", 16)
    own, rival = lost_post("a", 10, 12), lost_post("b", 10, 17)
    evidence = Evidence(
        own, NewJobs((second, first)), rivals=(rival,), late=timedelta(seconds=10), is_shown=True, is_settled=True
    )
    assert isinstance(judge(evidence), Unclear)


def test_a_job_of_another_time_than_the_date_of_answers_is_looked_at_again_once_jobs_have_told_the_time():
    own = lost_post("a", 3600, 3601, is_exact=False)
    verdict = judge(Evidence(own, NewJobs((job("own", 0.5),)), is_settled=True))
    assert isinstance(verdict, Unclear)
    assert verdict.awaits == "time"


def timed(post, *windows):
    return replace(post, windows=tuple((at(since), at(until)) for since, until in windows))


def test_a_job_in_the_time_of_one_request_is_not_that_of_another_whose_answer_was_lost_before():
    own = timed(lost_post("b", 15, 17), (15, 17))
    rival = timed(lost_post("a", 10, 12), (10, 12))
    evidence = Evidence(
        own,
        NewJobs((job("x", 16.25),)),
        rivals=(rival,),
        late=timedelta(seconds=10),
        is_shown=True,
        is_settled=True,
        has_all_hosts=True,
    )
    assert judge(evidence) == FoundJob(job("x", 16.25))
    assert isinstance(judge(replace(evidence, own=rival, rivals=(own,))), Unclear)
    assert isinstance(judge(replace(evidence, has_all_hosts=False)), Unclear)  # another host may date it otherwise
    given_up = replace(rival, post=replace(rival.post, is_given_up=True))
    assert isinstance(judge(replace(evidence, rivals=(given_up,))), Unclear)  # which may be late


def test_a_window_that_is_not_short_waits_until_other_jobs_would_have_shown():
    own = timed(lost_post("b", 15, 17), (15, 17))
    evidence = Evidence(own, NewJobs((job("x", 16.25),)), late=timedelta(seconds=10))
    verdict = judge(evidence)
    assert isinstance(verdict, Unclear)
    assert verdict.awaits == "time"
    short = replace(evidence, own=timed(own, (15.8, 16.4)))
    assert judge(short) == FoundJob(job("x", 16.25))


def test_a_rival_whose_times_are_not_known_may_have_made_any_job():
    own, rival = timed(lost_post("b", 15, 17), (15.8, 16.4)), lost_post("a", 14, 16)
    evidence = Evidence(
        own, NewJobs((job("x", 16.25),)), rivals=(rival,), late=timedelta(seconds=10), is_shown=True, is_settled=True
    )
    assert isinstance(judge(evidence), Unclear)
