"""What a probe makes of its observations: clocks, lag, order and the values that follow, from times that are given."""

from datetime import UTC, datetime, timedelta

import pytest

from krea_pipe.app.probe_findings import (
    ClockDifference,
    ListedJob,
    ListReading,
    Posted,
    job_clock,
    lag_of,
    order_of,
    settle_of,
    ties_in,
    tolerance_of,
)

START = datetime(2026, 11, 30, 12, tzinfo=UTC)


def at(seconds):
    return START + timedelta(seconds=seconds)


def posted(name, begun, answered, created):
    return Posted(name, at(begun), at(answered), None if created is None else at(created))


def listed(*seconds):
    return [ListedJob(f"j{index}", at(one).isoformat(), "completed") for index, one in enumerate(seconds)]


def reading(seconds, *names):
    jobs = tuple(ListedJob(name, "", "queued") for name in names)
    return ListReading(at(seconds), at(seconds + 0.1), None, jobs)


def test_a_clock_is_known_to_within_the_shortest_posts():
    found = job_clock([posted("a", 0, 1, 3.5), posted("b", 10, 10.2, 13.05), posted("c", 20, 21, None)])
    assert (round(found.low, 3), round(found.high, 3), found.spread) == (2.849, 3.051, 0.0)
    assert found.nearest == found.low


def test_times_that_contradict_each_other_are_a_spread():
    found = job_clock([posted("a", 0, 0.1, 0.05), posted("b", 10, 10.1, 5.05)])
    assert (round(found.low, 3), round(found.high, 3), round(found.spread, 3)) == (-5.051, 0.051, 4.898)


def test_a_time_of_whole_seconds_may_be_a_second_later():
    assert job_clock([posted("a", 0.9, 0.95, 0)]).nearest == 0


def test_without_times_no_clock_is_known():
    assert job_clock([posted("a", 0, 1, None)]) is None
    assert tolerance_of(None) == 2.0


@pytest.mark.parametrize(
    ("difference", "tolerance"),
    [
        (ClockDifference(-1, 1), 2.0),
        (ClockDifference(3, 4), 6.0),
        (ClockDifference(-4, -3.01), 6.1),
        (ClockDifference(-5, 5, 9), 18.0),
    ],
)
def test_the_tolerance_is_twice_what_was_seen(difference, tolerance):
    assert tolerance_of(difference) == tolerance


@pytest.mark.parametrize(
    ("lag", "post", "settle"),
    [(0.0, 0.2, 10.0), (7.0, 0.2, 14.0), (0.0, 4.0, 20.0), (500.0, 1.0, 120.0), (None, 0.2, 120.0)],
)
def test_settling_follows_the_lag_and_the_slowest_post(lag, post, settle):
    assert settle_of(lag, post) == settle


def test_the_lag_is_that_of_the_job_which_was_hidden_longest():
    posts = [posted("a", 0, 1, 0), posted("b", 1, 2, 1)]
    looks = [reading(0.5), reading(1.5, "a"), reading(2.5, "a"), reading(5, "a", "b")]
    assert lag_of(posts, looks) == pytest.approx(3.1)
    assert lag_of(posts[:1], looks) == 0.0
    assert lag_of([posted("c", 1, 2, 1)], looks) is None
    assert lag_of(posts, []) is None


@pytest.mark.parametrize(
    ("times", "order"),
    [
        ((), "unknown"),
        ((1,), "unknown"),
        ((1, 1), "unknown"),
        ((3, 2, 2, 1), "newest_first"),
        ((1, 1, 2), "oldest_first"),
        ((1, 3, 2), "unordered"),
    ],
)
def test_the_order_of_a_list(times, order):
    assert order_of(listed(*times)) == order


def test_jobs_without_a_readable_time_have_no_order_and_no_tie():
    jobs = [ListedJob("a", "", ""), ListedJob("b", "", ""), ListedJob("c", "yesterday", "")]
    assert (order_of(jobs), ties_in(jobs), ties_in(listed(1, 1, 2, 1))) == ("unknown", 0, 3)
