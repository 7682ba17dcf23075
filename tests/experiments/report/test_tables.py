"""Means and intervals in the tables of a sweep."""

import json

import numpy as np
from scipy import stats

from experiments.engine.groups import SweepFolder
from experiments.report.results import Member
from experiments.report.tables import mean_interval, write_results
from experiments.spec.grid import Grid


def test_the_interval_is_students():
  values = [1.0, 2.0, 4.0]
  interval = mean_interval(values)
  low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
  assert interval.n == 3
  np.testing.assert_allclose(
    [interval.mean - interval.half_width, interval.mean + interval.half_width], [low, high]
  )


def test_the_interval_covers_19_of_20():
  draws = np.random.default_rng(0).normal(3.0, 2.0, size=(2000, 3))
  intervals = [mean_interval(row.tolist()) for row in draws]
  covered = np.mean([abs(interval.mean - 3.0) < interval.half_width for interval in intervals])
  assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_an_interval_in_words():
  assert str(mean_interval([])) == "none"
  assert str(mean_interval([0.25])) == "0.25"
  assert str(mean_interval([1.0, 2.0, 3.0])) == "2 ± 2.5"


def test_one_value_has_no_interval():
  assert mean_interval([]) == (0, None, None)
  assert mean_interval([2.0]) == (1, 2.0, None)
  assert mean_interval([2.0, float("inf")]) == (2, float("inf"), None)


def test_a_member_that_did_not_finish_is_listed_and_enters_no_mean(tmp_path):
  statuses = ("finished", "diverged", "unfinished", "finished")
  members = []
  for value, (run, status) in enumerate(
    zip(Grid("digits", {}).settings(range(4)), statuses, strict=True)
  ):
    best = {"sliced_wasserstein": float(value)}
    end = best if status == "finished" else {}
    members.append(Member(run.run_name(), run, status, 5, end, 5, best, [{"step": 5} | best]))
  write_results(SweepFolder(tmp_path), members)
  record = json.loads((tmp_path / "results.json").read_text())
  (setting,) = record["settings"]
  assert tuple(setting["status"].values()) == statuses
  for part in ("end", "at_best"):
    distances = setting[part]["sliced_wasserstein"]
    assert (distances["n"], distances["mean"]) == (2, 1.5)
  assert [row["sliced_wasserstein_at_best"] for row in record["members"]] == [0, 1, 2, 3]
