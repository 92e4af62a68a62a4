"""Schedules of lost answers, wrong clocks, late lists and killed runs: nothing is paid twice, and no image is swapped.

`benchmarks/lost_answers.py` runs many more of them.
"""

import pytest
from lost_answer_model import search

SCHEDULES = 600
FOUND = {
    23: "a job made late was taken for that of a later request, which Krea had dropped",
    81: "the POST of a killed run went on at Krea for a minute, and made its job then",
    116: "clocks of Krea's hosts and gateways were 23 seconds apart, and nothing had shown it yet",
    121: "a list showed nothing for 8 seconds, and two answers were lost meanwhile",
    144: "a list without any job was believed",
    245: "two jobs that were made late were taken for those of each other's requests",
    1031: "a job that was made late was taken for that of a request that was sent meanwhile",
    2248: "what was paid late was given to a request that was sent meanwhile, and paid again",
}
"""Schedules in which a version of the protocol paid twice or swapped images, with what was wrong."""


@pytest.mark.parametrize("part", range(2))
def test_schedules_pay_nothing_twice_and_swap_nothing(part):
    numbers = range(part * SCHEDULES // 2, (part + 1) * SCHEDULES // 2)
    counts, broken = search(numbers)
    assert broken == {}
    assert counts["lost"] > SCHEDULES // 4
    assert counts["done"] > counts["uncertain"]


@pytest.mark.parametrize("number", FOUND, ids=FOUND.get)
def test_what_was_found_once_stays_right(number):
    assert search([number])[1] == {}
