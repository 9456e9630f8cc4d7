# SPDX-License-Identifier: Apache-2.0
"""What the driver does when there are too few task slots or tasks fail, without Spark."""

from types import SimpleNamespace

import pytest

from bdl.errors import BdlInvalidArgumentError
from bdl.spark import BdlClassifier, _cluster
from bdl.spark._fit import Fit, _of_task


class Legs:
    """A fit whose tries of a leg find no slots until there are as many as workers."""

    def __init__(self, monkeypatch, counted, fails=lambda tried: False, **params):
        self.tried, self.said, counted = [], [], iter(counted)

        def try_leg(*_):
            self.tried.append(self.fit.workers)
            if fails(self.tried):
                raise _cluster.TooFewSlots
            return "leg"

        self.fit = SimpleNamespace(params=BdlClassifier(**params), spark=None, timeout=7, workers=4, _has_run=False,
                                   _try_leg=try_leg, _say=self.said.append)
        monkeypatch.setattr(_cluster, "measured_slots", lambda *_: next(counted))

    def run(self, last=None):
        return Fit._leg(self.fit, last, 1.0)


def test_a_leg_goes_on_with_the_slots_that_are_left(monkeypatch):
    legs = Legs(monkeypatch, [3, 1], lambda tried: tried[-1] > 1)
    assert legs.run() == "leg" and legs.tried == [4, 3, 1]
    assert legs.said == ["of 4 task slots 3 are left: going on with 3 workers", "of 3 task slots 1 are left: going on with 1 worker"]


def test_slots_that_come_back_late_are_used(monkeypatch):
    legs = Legs(monkeypatch, [4], lambda tried: len(tried) == 1)
    assert legs.run(last="a leg") == "leg" and legs.tried == [4, 4]
    assert legs.said == ["of 4 task slots 4 are there again: going on with 4 workers"]


@pytest.mark.parametrize("counted, numbers", [([4, 4], "4 tasks .* offered 4"), ([0], "4 tasks .* offered 0"), ([2, 2], "2 tasks .* offered 2")])
def test_a_fit_ends_where_spark_starts_no_tasks(monkeypatch, counted, numbers):
    with pytest.raises(BdlInvalidArgumentError, match=numbers):
        Legs(monkeypatch, [*counted, 2], lambda tried: True).run(last="a leg")


def test_the_first_leg_begins_with_no_fewer_than_asked_for(monkeypatch):
    legs = Legs(monkeypatch, [3, 3], lambda tried: tried[-1] > 3, numWorkers=4)
    with pytest.raises(BdlInvalidArgumentError, match="4 tasks .* in 7 s the cluster offered 3 free task slots"):
        legs.run()
    legs.fit._has_run = True
    assert legs.run() == "leg"


def test_waiting_for_slots_is_told_once(monkeypatch):
    counted, said = iter([1, 1, 2]), []
    monkeypatch.setattr(_cluster, "count_slots", lambda *_: next(counted))
    monkeypatch.setattr(_cluster, "POLL_SECONDS", 0)
    assert _cluster.wait_for_slots(None, 2, 60, said.append) == 2
    assert said == ["1 of 2 task slots are free: waiting for the others, at most 60 s (slotTimeout)"]


def test_what_executors_lack_is_named():
    text = "An exception was thrown from the Python worker:\n  File \"worker.py\", line 1\nModuleNotFoundError: No module named '{}'\n"
    assert str(_of_task(Exception(text.format("bdl")))).startswith("the executors' Python has no module 'bdl': install")
    assert _of_task(Exception(text.format("theirs"))) is None
    text = 'Caused by: java.io.IOException: Cannot run program "/none/python3": error=2, No such file or directory'
    assert str(_of_task(Exception(text))).startswith("an executor cannot run '/none/python3': install")
