"""Means, intervals and rows of a sweep."""

import numpy as np
from scipy import stats

from experiments.report.results import Member, by_setting, spread_of, varied
from experiments.spec.grid import Grid


def member(seed, penalty="gp", **changed):
  choices = {"penalty": penalty} | changed
  (run,) = Grid("digits", {name: (value,) for name, value in choices.items()}).settings([seed])
  return Member(run.run_name(), run, "finished", 5, {}, None, {}, [])


def test_the_interval_is_students():
  values = [1.0, 2.0, 4.0]
  spread = spread_of(values)
  low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
  assert spread.n == 3
  np.testing.assert_allclose(
    [spread.mean - spread.half_width, spread.mean + spread.half_width], [low, high]
  )


def test_the_interval_covers_19_of_20():
  draws = np.random.default_rng(0).normal(3.0, 2.0, size=(2000, 3))
  spreads = [spread_of(row.tolist()) for row in draws]
  covered = np.mean([abs(spread.mean - 3.0) < spread.half_width for spread in spreads])
  assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_a_spread_in_words():
  assert str(spread_of([])) == "none"
  assert str(spread_of([0.25])) == "0.25"
  assert str(spread_of([1.0, 2.0, 3.0])) == "2 ± 2.5"


def test_no_interval_without_a_spread():
  assert spread_of([]) == (0, None, None)
  assert spread_of([2.0]) == (1, 2.0, None)
  assert spread_of([2.0, float("inf")]) == (2, float("inf"), None)


def test_seeds_belong_together():
  members = [member(0), member(1), member(0, lambda_gp=1.0), member(0, "clip")]
  assert [len(same) for same in by_setting(members)] == [2, 1, 1]
  assert varied(members[:2]) == []
  assert varied(members[:3]) == ["lambda_gp"]
  assert "clip_value" in varied(members)
