"""The lab: what claims train with."""

import json
import statistics

import jax
import pytest

from experiments.claims import lab as lab_module
from experiments.claims.lab import Lab
from experiments.engine import planning
from experiments.host.environment import describe_environment
from wgan_jax import Hparams


def test_settings_that_are_looked_at_are_of_one_program(tmp_path):
  lab = Lab(tmp_path, None, describe_environment())
  choices = {"loss": "wasserstein", "penalty": "gp", "width": 4, "depth": 1}
  choices |= {"batch_size": 8, "n_critic": 1}

  def look(key, state, data):
    return {"step": state.step, "draw": jax.random.normal(key), "data": data["value"]}

  runs = lab.settings("ring", 1, **choices | {"lambda_gp": (0.1, 1.0)})
  found = lab.observe_settings(runs, [1], look, {"value": 3.0})
  assert found.seen["step"].tolist() == [[1], [1]]
  assert found.seen["data"].tolist() == [[3.0], [3.0]]
  others = lab.settings("ring", 1, **choices | {"width": (4, 8)})
  with pytest.raises(ValueError, match="numbers and seeds only"):
    lab.observe_settings(others, [1], look)


def test_members_are_the_seeds_of_the_first_hyperparameters_then_of_the_next(tmp_path, monkeypatch):
  monkeypatch.setattr(lab_module, "make_training", lambda *arguments: None)
  monkeypatch.setattr(lab_module, "observe", lambda *arguments: arguments[2])
  first, second = Hparams(learning_rate=1.0), Hparams(learning_rate=2.0)
  lab = Lab(tmp_path, None, describe_environment())
  members = lab.observe(None, None, (None, None), [first, second], 2, [1], None)
  assert members == [(first, 0), (first, 1), (second, 0), (second, 1)]
  assert lab.observe(None, None, (None, None), first, 2, [1], None) == members[:2]


def test_claims_about_images_are_tested_on_a_plain_dcgan(tmp_path):
  """Whatever networks and rates the launchers have; what a claim names stands."""
  lab = Lab(tmp_path, None, describe_environment())

  def of(dataset="digits", **choices):
    (made,) = lab.settings(dataset, 1, **{"methods": "gp"} | choices)
    assert made.clip_value in (None, choices.get("clip_value", 0.01))
    return made.architecture, made.width, made.batch_size, made.learning_rate

  assert of() == of(architecture="dcgan") == ("dcgan", 32, 64, 2e-4)
  assert of(methods="clip") == of(methods="clip", clip_value=0.3) == ("dcgan", 32, 64, 5e-5)
  assert of(width=3, learning_rate=1e-2) == ("dcgan", 3, 64, 1e-2)
  assert of(architecture="mlp") == ("mlp", 256, 64, 2e-4)
  assert of("ring") == ("mlp", 64, 256, 1e-3)


def test_a_sweep_is_as_long_as_a_time_allows(tmp_path, monkeypatch):
  """The steps that fit, which are measured once and recorded."""
  measured = []

  def fit(runs, load, layout, *, seconds, multiple):
    measured.append((len(runs), seconds, multiple))
    return {run.program_name(): 4 for run in runs}

  monkeypatch.setattr(planning, "fit_budget", fit)
  lab = Lab(tmp_path, None, describe_environment())
  choices = {"methods": "gp", "width": 2, "depth": 1, "batch_size": 2, "n_critic": 1}

  def sweep():
    return lab.sweep("ring", choices, seeds=1, seconds=9, log_every=2)

  members = sweep()
  assert [(each.steps, each.status) for each in members] == [(4, "finished")]
  lines = map(json.loads, (tmp_path / "ring" / "timing.jsonl").read_text().splitlines())
  step = statistics.median(
    line["chunk_seconds"] / line["steps"] for line in lines if "chunk_seconds" in line
  )
  assert lab.step_seconds("ring") == {members[0].run.program_name(): pytest.approx(step)}
  assert sweep() == members
  assert measured == [(1, 9, 2), (0, 9, 2)]
