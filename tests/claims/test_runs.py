"""Every claim runs at its tiny scale; the short suite takes one for each way to train."""

import numpy as np
import pytest
from helpers.claiming import all_claims, outcome, run_tiny

from experiments.claims import find_names
from experiments.claims.lab import Lab
from experiments.host.environment import describe_environment

# Nothing is trained; points with networks of the claim's own.
SHORT = ("parallel_lines", "earth_movers_distance")
LONG = sorted(set(find_names()) - {*SHORT, "batch_norm_critic"})


def check(name, folder):
  numbers = run_tiny(name, folder).numbers
  if name == "course_exercise":
    assert numbers["exercise"]["edge"] == [0.0]
  if name == "gradients_by_layer":
    assert np.shape(numbers["gp"]["log_norms"]) == (1, 13)
    assert numbers["clip 0.1"]["largest_weight"] == [pytest.approx(0.1)]
  if name == "level_sets":
    for data in ("ring", "grid", "swiss_roll"):
      assert 0.3 < numbers[data]["exact_wasserstein"] < 1.5
  if name == "overfitting_critic":
    assert numbers["n_validation"] == 797
  if name == "estimate_follows_quality":
    assert all(-1 <= own["rank_correlation"][0] <= 1 for own in numbers.values())
  if name == "adam_instability":
    assert all(-1 <= each <= 1 for own in numbers.values() for each in own["least_cosine"])
  if name == "random_architectures":
    scores = np.array([numbers["scores"][method] for method in ("gan", "wgan_gp")])
    assert scores.shape == (2, 2, 1)
    assert ((scores >= 1) & (scores <= 10)).all()


@pytest.mark.parametrize("name", SHORT)
def test_a_claim_runs(name, tmp_path):
  check(name, tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("name", LONG)
def test_every_other_claim_runs(name, tmp_path):
  check(name, tmp_path)


@pytest.mark.campaign
def test_batch_normalisation_couples_samples_at_any_size(tmp_path):
  evidence = run_tiny("batch_norm_critic", tmp_path)
  assert outcome("batch_norm_critic", evidence.numbers) == "reproduced"


@pytest.mark.campaign
@pytest.mark.parametrize("dataset", ["ring", "digits"])
def test_a_sweep_of_a_claim_is_resumed(dataset, tmp_path):
  lab = Lab(tmp_path, None, describe_environment())
  choices = {"loss": "wasserstein", "penalty": "gp", "architecture": "mlp", "width": 2}
  choices |= {"depth": 1, "batch_size": 2, "n_critic": 1}

  def sweep():
    return lab.sweep(dataset, choices, seeds=2, steps=2, log_every=1)

  members = sweep()
  assert [member.status for member in members] == ["finished"] * 2
  written = (tmp_path / dataset / "timing.jsonl").read_bytes()
  assert sweep() == members
  assert (tmp_path / dataset / "timing.jsonl").read_bytes() == written


def test_settings_to_look_at_are_of_one_program(tmp_path):
  lab = Lab(tmp_path, None, describe_environment())
  runs = lab.settings("ring", 1, methods=("clip", "gp"))
  with pytest.raises(ValueError, match="differ in numbers and seeds only"):
    lab.observe_settings(runs, [1], lambda key, state, data: {})


def test_tiny_is_smaller_than_quick_in_everything_that_it_changes():
  for name, claim in all_claims().items():
    quick, tiny = claim.quick, claim.tiny
    assert tiny, name
    for key, value in tiny.items():
      if isinstance(value, int | float) and key not in ("learning_rate", "look_every"):
        assert value <= quick[key], (name, key)
