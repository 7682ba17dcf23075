"""The race for quality, of ways whose quality and seconds the test decides."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from experiments.engine.engine import Engine
from experiments.speed import quality
from experiments.speed.quality import Contest, compare, draw_quality, race
from experiments.speed.steps import settings_of
from experiments.speed.turns import Runner


def test_each_way_trains_its_steps_and_only_training_is_timed(monkeypatch):
  """A clock that moves by a second a step, and far while samples are drawn and measured."""
  now, done = [0.0], {"ours": 0, "theirs": 0}
  monkeypatch.setattr(quality.time, "perf_counter", lambda: now[0])

  def make(way, seed):
    assert seed == 7

    def train(n_steps):
      done[way] += n_steps
      now[0] += n_steps

    def sample(n):
      now[0] += 1000
      return np.full(n, done[way])

    return Runner(train, sample)

  def measure(images):
    now[0] += 1000
    return {"frechet": 1.0, "precision": 0.5, "readable": images[0] / 100}

  make = {way: functools.partial(make, way) for way in done}
  curves = race(Contest(make, {"ours": 90, "theirs": 200}, ("theirs",)), 7, measure)
  assert done["ours"] == curves["ours"][-1]["seconds"] == 90
  assert len(curves["ours"]) == 25
  # It stops at the first turn with .75.
  assert [row["readable"] >= 0.75 for row in curves["theirs"]] == [False] * 9 + [True]
  assert done["theirs"] == curves["theirs"][-1]["seconds"] == 80


def test_a_way_that_diverges_reaches_no_quality():
  images = np.zeros((2, 28, 28, 1))
  images[1, 3, 3] = np.nan
  row = quality._measure(None, images)
  assert set(row) == set(quality.MEASURES)
  assert not any(reached(row) for reached in (quality._is_readable, lambda row: row["frechet"] < 9))


def rows(*figures):
  names = ("seconds", "frechet", "readable")
  return [dict(zip(names, each, strict=True)) | {"precision": 0.5} for each in figures]


CURVES = {
  "default": rows((1, 90, 0.2), (2, 50, 0.7), (3, 20, 0.75), (4, 10, 0.9)),
  "plain": rows((3, 200, 0.1), (6, 60, 0.3)),
  "pytorch": rows((10, 90, 0.3), (21, 20, 0.8)),
}


def test_the_ratio_is_of_the_first_seconds_with_that_quality(tmp_path):
  measurement = compare([CURVES, CURVES | {"pytorch": rows((12, 9, 0.9))}], "digits")
  assert measurement.value == (4, 5.5, 7)
  assert measurement.details["times_sooner_than_plain"] == (3, 3, 3)
  draw_quality(tmp_path / "quality.png", measurement)
  assert (tmp_path / "quality.png").read_bytes().startswith(b"\x89PNG")


def test_a_way_that_never_has_the_quality_loses_no_curve():
  """PyTorch's ratio is then a lower bound, and ours is 0."""
  measurement = compare([CURVES | {"pytorch": rows((10, 90, 0.3), (12, 90, 0.4))}], "digits")
  assert measurement.value == (4, 4, 4)
  measurement = compare([CURVES | {"default": rows((1, 90, 0.2))}], "digits")
  assert measurement.value == measurement.details["times_sooner_than_plain"] == (0, 0, 0)
  assert measurement.details["curves"][0]["pytorch"] == CURVES["pytorch"]


def test_pytorch_starts_from_our_weights_and_averages_as_we_do():
  """Samples of the average, before a step and after some."""
  torch = pytest.importorskip("torch", reason="PyTorch is in the extra `benchmark`")
  pytorch = pytest.importorskip("experiments.speed.pytorch")
  choices = {"width": 1, "batch_size": 4, "n_critic": 1, "ema_half_life": 8.0}
  settings = settings_of("digits", **choices)
  dataset, pair = settings.load(), settings.networks()
  runner = quality._pytorch_runner(pytorch, "cpu", settings, dataset, 3)
  torch.manual_seed(0)
  before = runner.sample(5)
  assert before.shape == (5, 28, 28, 1)
  state = Engine([dataclasses.replace(settings, seed=3)], dataset, 1).init().state
  params, stats = jax.tree.map(lambda leaf: leaf[0], (state.generator_params, state.batch_stats))
  torch.manual_seed(0)
  latents = torch.randn(5, pair.latent_dim).numpy()
  ours, _ = pair.generator.apply(params, stats, latents, train=False)
  np.testing.assert_allclose(before, ours, atol=1e-5)
  runner.train(3)
  torch.manual_seed(0)
  assert np.abs(runner.sample(5) - before).max() > 1e-4


def test_pytorchs_average_halves_what_came_before():
  torch = pytest.importorskip("torch", reason="PyTorch is in the extra `benchmark`")
  pytorch = pytest.importorskip("experiments.speed.pytorch")
  networks = pytest.importorskip("experiments.speed.pytorch_networks")
  settings = settings_of("ring", latent_dim=2, batch_size=4, n_critic=1, ema_half_life=4.0)
  critic, generator, average = (networks.MLP([2, 3, n], critic=n == 1) for n in (1, 2, 2))
  before = [leaf.clone() for leaf in pytorch.floats(average)]
  step = pytorch.make_step(critic, generator, average, lambda: torch.ones(4, 2), settings)
  step()
  for old, now, mean in zip(
    before, pytorch.floats(generator), pytorch.floats(average), strict=True
  ):
    np.testing.assert_allclose(mean, (old + now) / 2, rtol=1e-6)
