"""Members of a sweep."""

from experiments.report.results import Member, by_setting, distinguishing_settings, varied
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
  members.append(member(0, "clip", clip_value=0.1))
  assert distinguishing_settings(members) == ["penalty", "clip_value"]
