"""Timing in turn. No test compares seconds."""

import functools

from experiments.speed.turns import MedianRange, Timing, Way, take_turns


def test_turns_are_in_turn_and_the_first_is_apart():
  calls = []
  ways = {name: Way(functools.partial(calls.append, name), 1) for name in "ab"}
  timing = take_turns(ways, 3)
  assert calls == ["a", "b"] * 4
  assert set(timing.first) == {"a", "b"}
  assert [len(timing.seconds[way]) for way in ways] == [3, 3]


def test_seconds_are_per_unit_and_those_of_the_first_turn_are_not(monkeypatch):
  clock = iter([0.0, 7.0, 100.0, 106.0])
  monkeypatch.setattr("time.perf_counter", lambda: next(clock))
  assert take_turns({"a": Way(lambda: None, 3)}, 1) == Timing({"a": 7.0}, {"a": [2.0]})


def test_a_ratio_is_of_the_turns_of_one_round():
  timing = Timing({"fast": 9.0}, {"fast": [1.0, 10.0, 2.0], "slow": [2.0, 30.0, 4.0]})
  assert timing.times_faster("fast", than="slow") == MedianRange(2.0, 2.0, 3.0)
  assert timing.times_faster("fast", than="slow").scaled(0.5) == MedianRange(1.0, 1.0, 1.5)
  assert timing.fastest(["slow", "fast"]) == "fast"
  assert timing.details() == {"fast_ms": 2000.0, "slow_ms": 4000.0, "fast_first_turn_s": 9.0}
