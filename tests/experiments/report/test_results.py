"""Members of a sweep."""

import dataclasses
import math

from experiments.engine.groups import SweepFolder
from experiments.engine.opening import stamp
from experiments.host.environment import describe_environment
from experiments.host.files import write_json
from experiments.report.results import (
  Member,
  by_setting,
  distinguishing_settings,
  read_members,
  varied,
)
from experiments.spec.grid import Grid


def member(seed, penalty="gp", **changed):
  choices = {"loss": "wasserstein", "penalty": penalty} | changed
  choices = {name: (value,) for name, value in choices.items()}
  (run,) = Grid("digits", choices).settings([seed])
  return Member(run.run_name(), run, "finished", 5, {}, None, {}, [])


def test_seeds_belong_together():
  members = [member(0), member(1), member(0, lambda_gp=1.0), member(0, "clip")]
  assert [len(same) for same in by_setting(members)] == [2, 1, 1]
  assert varied(members[:2]) == []
  assert varied(members[:3]) == ["lambda_gp"]
  assert "clip_value" in varied(members)


def test_settings_that_a_method_implies_distinguish_no_members():
  members = [member(0), member(0, "clip")]
  assert distinguishing_settings(members) == ["penalty"]
  members.append(member(0, "clip", clip_value=0.2))
  assert distinguishing_settings(members) == ["penalty", "clip_value"]


def test_the_best_step_has_the_least_distance_of_those_with_slow_measures(tmp_path):
  folder, run = SweepFolder(tmp_path), member(0).run
  own = folder.member(run)
  own.path.mkdir(parents=True)
  record = {"members": [dataclasses.asdict(run)], "flags": {"steps": 5}}
  record |= {"data_sha256": "", "environment": describe_environment(), "resumed_in": []}
  write_json(folder.config, stamp() | record)
  distances = [math.nan, 0.5, 0.7, 0.1, 0.9]  # Step 4 has no slow measures.
  for step, distance in enumerate(distances, 1):
    slow = {} if step == 4 else {"exact_wasserstein": 10.0 * step}
    own.log({"step": step, "sliced_wasserstein": distance} | slow)
  own.write_summary(5, alive=True)
  (read,) = read_members(folder)
  assert (read.status, read.steps, read.best_step) == ("finished", 5, 2)
  assert read.best == {"sliced_wasserstein": 0.5, "exact_wasserstein": 20.0}
  assert read.end == {"sliced_wasserstein": 0.9, "exact_wasserstein": 50.0}
