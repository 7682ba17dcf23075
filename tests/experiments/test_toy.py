"""`experiments.toy` end to end, and what is measured of points."""

import json

import pytest
from helpers.launching import draw, launch
from PIL import Image

from experiments import toy

TINY = ("--width=8", "--depth=2", "--batch_size=16", "--log_every=2", "--sample_every=4")
TINY += ("--checkpoint_every=3", "--slow_every=4")


def train(workdir, *arguments):
  names = {argument.split("=")[0] for argument in arguments}
  tiny = [argument for argument in TINY if argument.split("=")[0] not in names]
  return launch(toy, *tiny, f"--workdir={workdir}", *arguments)


def lines(workdir):
  return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
  path = tmp_path_factory.mktemp("ring") / "run"
  assert train(path, "--steps=8") == 0
  return path


def test_the_slow_measures_stand_where_they_are_asked_for(ring):
  rows = lines(ring)
  assert [row["step"] for row in rows] == [2, 4, 6, 8]
  assert ["exact_wasserstein" in row for row in rows] == [False, True, False, True]
  for row in rows:
    assert {"n_modes", "high_quality", "reverse_kl", "sliced_wasserstein"} <= set(row)
  last = rows[-1]
  assert last["estimate_gap"] == pytest.approx(
    last["held_out_wasserstein_estimate"] - last["exact_wasserstein"], rel=1e-6
  )
  assert 0 <= last["certified_wasserstein"] <= last["exact_wasserstein"]
  assert last["sliced_wasserstein"] < last["exact_wasserstein"]


@pytest.mark.campaign
def test_extended_is_uninterrupted(ring, tmp_path):
  """The slow measures stand at multiples only, so that a last line has no more than it had."""
  assert train(tmp_path / "run", "--steps=6") == 0
  assert ["exact_wasserstein" in row for row in lines(tmp_path / "run")] == [False, True, False]
  assert train(tmp_path / "run", "--steps=8") == 0
  assert (tmp_path / "run/metrics.jsonl").read_bytes() == (ring / "metrics.jsonl").read_bytes()


def test_pictures_are_of_points_on_level_sets(ring):
  with Image.open(ring / "samples" / "step_000008.png") as picture:
    assert picture.size == (600, 520)


def test_points_are_sampled(ring, tmp_path, capsys):
  assert draw(ring, "--n=10", f"--out={tmp_path}/points.npz") == 0
  assert draw(ring, "--n=10", f"--out={tmp_path}/points.png") == 0
  assert draw(ring, "--n=10", f"--out={tmp_path}/folder") == 2
  assert "name a .png or an .npz for points" in capsys.readouterr().err


@pytest.mark.parametrize(
  "arguments",
  [
    ("--dataset=two_gaussians", "--dim=3", "--critic=aol"),
    *[
      pytest.param(arguments, marks=pytest.mark.campaign)
      for arguments in [
        ("--dataset=ring", "--fixed_generator", "--loss=nonsaturating", "--penalty=none"),
        ("--dataset=grid", "--loss=minimax", "--penalty=none"),
        ("--dataset=two_gaussians", "--penalty=gp_one_sided"),
        ("--dataset=swiss_roll", "--penalty=clip"),
        ("--dataset=funnels", "--n_funnels=16", "--data_seed=1"),
      ]
    ],
  ],
)
def test_every_data_set_is_trained_on(tmp_path, arguments):
  path = tmp_path / "run"
  assert train(path, "--steps=4", *arguments) == 0
  last = lines(path)[-1]
  if "--fixed_generator" in arguments:
    assert last["generator_gradient_minimax"] > 0
  if arguments[0] in ("--dataset=two_gaussians", "--dataset=funnels"):
    assert -1 <= last["gradient_cosine"] <= 1
    assert "generator_gradient_minimax" not in last
  if arguments[0] == "--dataset=two_gaussians":
    assert last["true_wasserstein"] == pytest.approx(4, rel=1e-5)
    assert abs(last["exact_wasserstein"] - 4) < 0.2
  assert ("clipped_share" in last) == ("--penalty=clip" in arguments)
  assert ("n_modes" in last) == (arguments[0] in ("--dataset=grid", "--dataset=ring"))


@pytest.mark.campaign
def test_a_fixed_generator_stays_as_it_starts(tmp_path):
  path = tmp_path / "run"
  assert train(path, "--steps=8", "--fixed_generator") == 0
  distances = {row["exact_wasserstein"] for row in lines(path) if "exact_wasserstein" in row}
  pictures = sorted((path / "samples").iterdir())
  assert len(pictures) == len(distances) == 2  # Of other samples, of one distribution.
  assert max(distances) - min(distances) < 0.1 * min(distances)


def test_the_papers_settings(monkeypatch):
  """Without flags those of the authors; a flag that is given decides."""
  started = []
  monkeypatch.setattr(toy, "start", lambda flags, settings, path: started.append((flags, settings)))
  papers = {"--penalty=gp": (1e-4, 0.5, 0.9, 0.1), "--penalty=clip": (5e-5, None, 0.99, None)}
  for penalty, expected in papers.items():
    assert launch(toy, "--preset=paper", penalty, "--batch_size=128") == 0
    flags, settings = started[-1]
    assert flags.steps == 100_000
    assert (
      settings.learning_rate,
      settings.beta1,
      settings.beta2,
      settings.lambda_gp,
    ) == expected
    assert (settings.width, settings.depth, settings.batch_size) == (512, 3, 128)
  assert launch(toy, "--preset=paper", "--optimizer=rmsprop") == 0
  assert started[-1][1].learning_rate == 5e-5  # A chosen optimiser brings its own.
  assert launch(toy) == 0
  assert started[-1][0].steps == 5000
  assert started[-1][0].slow_every == 500
  for given, expected in {"--log_every=300": 300, "--log_every=1000": 1000}.items():
    assert launch(toy, given) == 0
    assert started[-1][0].slow_every == expected
  assert launch(toy, "--slow_every=0") == 0
  assert started[-1][0].slow_every == 0


def test_what_does_nothing_is_refused(tmp_path, capsys):
  for arguments, message in [
    (["--n_funnels=4"], "--n_funnels does nothing with --dataset=ring"),
    (["--dataset=funnels", "--fixed_generator"], "--fixed_generator does nothing"),
    (["--dataset=funnels", "--latent_dim=3"], "--latent_dim does nothing with --dataset=funnels"),
    (["--slow_every=3"], "--slow_every=3 must be a multiple of --log_every=2"),
    (["--slow_every=-1"], "--slow_every"),
    (["--dataset=mnist"], "--dataset"),
  ]:
    assert train(tmp_path / "run", "--steps=2", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
  assert not (tmp_path / "run").exists()
