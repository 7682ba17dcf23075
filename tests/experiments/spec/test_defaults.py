"""The length of a run, and what --preset=paper is for what the papers ran or did not."""

import pytest

from experiments.spec.defaults import default_steps
from experiments.spec.grid import Grid
from experiments.spec.presets import PLAIN_DCGAN, paper_preset

_ADAM = {"learning_rate": 1e-4, "beta1": 0.5, "beta2": 0.9}


@pytest.mark.parametrize(
  ("dataset", "loss", "penalty", "expected"),
  [
    ("mnist", "wasserstein", "gp", {"learning_rate": 1e-4, "beta1": 0.0, "beta2": 0.9}),
    ("mnist", "wasserstein", "clip", {"learning_rate": 5e-5, "clip_value": 0.01}),
    ("mnist", "nonsaturating", "none", {"learning_rate": 2e-4}),
    ("mnist", "nonsaturating", "r1", {"learning_rate": 2e-4}),
    ("mnist", "nonsaturating", "gp", {"learning_rate": 2e-4}),
    ("ring", "wasserstein", "gp", _ADAM | {"lambda_gp": 0.1}),
    ("ring", "minimax", "gp", _ADAM),
    ("ring", "nonsaturating", "none", _ADAM),
    # A penalty of another paper keeps its own weight.
    ("ring", "nonsaturating", "r1", _ADAM),
    ("ring", "wasserstein", "clip", {}),
  ],
)
def test_the_papers_settings(dataset, loss, penalty, expected):
  networks = {"mnist": PLAIN_DCGAN}
  networks["ring"] = {"width": 512, "depth": 3, "batch_size": 256}
  assert paper_preset(dataset, loss, penalty, None) == networks[dataset] | expected
  chosen = paper_preset(dataset, loss, penalty, "rmsprop")
  assert not {"beta1", "beta2"} & chosen.keys()
  assert chosen.get("learning_rate") == (5e-5 if dataset == "mnist" else None)
  if penalty != "clip":
    assert paper_preset(dataset, loss, penalty, "adam") == networks[dataset] | expected


@pytest.mark.parametrize(
  ("dataset", "choices", "steps"),
  [
    ("mnist", {}, 6000),
    ("mnist", {"penalty": ("clip",)}, 5000),
    ("mnist", {"architecture": ("mlp",)}, 1200),
    # As many updates, of which a step has fewer or more.
    ("mnist", {"loss": ("nonsaturating",), "penalty": ("none",)}, 15_000),
    ("mnist", {"n_critic": (1000,)}, 35),
    ("mnist", {"n_critic": (1000,), "architecture": ("mlp",)}, 7),
    ("ring", {}, 5000),
  ],
)
def test_the_length_of_a_run(dataset, choices, steps):
  (settings,) = Grid(dataset, choices).settings([0])
  assert default_steps(settings) == steps
  assert default_steps(settings, "paper") == (100_000 if dataset == "ring" else 20_000)
