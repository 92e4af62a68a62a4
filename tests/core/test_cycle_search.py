"""Full searches for reference cycles are rare only while many objects are made."""

import gc
from contextlib import ExitStack

from krea_pipe.core.cycle_search import rare_full_searches


def test_searches_are_as_usual_once_nobody_is_inside_any_longer():
    usual = gc.get_threshold()
    first, second = ExitStack(), ExitStack()
    first.enter_context(rare_full_searches())
    second.enter_context(rare_full_searches())
    first.close()  # two threads do not leave in the order in which they entered
    assert gc.get_threshold()[:2] == usual[:2]
    assert gc.get_threshold()[2] > usual[2]
    second.close()
    assert gc.get_threshold() == usual
