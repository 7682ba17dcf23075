"""Course, row 2: mode collapse, and a generator that moves on from mode to mode, for each loss."""

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import Claim, Evidence, Judgement, verdict
from experiments.claims.lab import Lab
from experiments.engine.observe import Observed, observe, observe_settings
from experiments.figures.pictures import Picture, render
from experiments.measures.classes import load_classifier_measures
from experiments.measures.samples import N_MODE_SAMPLES
from experiments.spec.datasets import Dataset
from experiments.spec.grid import Grid
from wgan_jax.modes import mode_statistics
from wgan_jax.networks.classifier import classify
from wgan_jax.training import generate

_METHODS = {
  "minimax": "cross-entropy, minimax",
  "nonsaturating": "cross-entropy, non-saturating",
  "gp": "W-loss with penalty",
}
_N_IMAGES = 500  # As they go through a classifier.
_WARM_UP = 1 / 6  # Of the steps: a generator that has not reached the data has no modes to lose.
_HELD, _LEADS = 0.1, 2.0  # Shares, in units of a fair one, of a mode that is held, and that leads.


def _measure(
  lab: Lab,
  *,
  seeds: int,
  steps: int,
  looks: int,
  image_set: str,
  image_methods: list[str],
  image_steps: int,
  width: int,
) -> Evidence:
  at = np.unique(np.linspace(0, steps, looks + 1).astype(int)).tolist()
  image_at = np.unique(np.linspace(0, image_steps, 21).astype(int)).tolist()
  points, pictures = lab.load("ring"), lab.load(image_set)
  shares, classes = {}, {}
  for method in _METHODS:
    choices = {"methods": (method,)}
    shares[method] = _watch_points(lab, points.toy, choices, seeds, at).seen["shares"].tolist()
  for method in image_methods:
    choices = {"methods": (method,), "width": (width,)}
    classes[method] = _watch_images(pictures, choices, image_at).seen["shares"].tolist()
  numbers = {"steps": at, "modes": shares, "image_steps": image_at, "classes": classes}
  table = [
    {"data": data, "loss": _METHODS[method]} | _row(values, of)
    for data, told, of in (("ring", shares, at), (image_set, classes, image_at))
    for method, values in told.items()
  ]
  drawn = [
    Picture(
      f"Ring of 8 modes: the share of {N_MODE_SAMPLES:,} samples that is nearest to each mode (a"
      f" colour each), while MLPs train; {seeds} seeds, a column each. Even bands are all modes; a"
      " wide band is a mode that takes over, and when the wide band changes its colour the"
      " generator has moved on.",
      _draw(shares, at, "mode"),
    ),
    Picture(
      f"{image_set}: the share of {_N_IMAGES} samples in each of ten classes, by a classifier (a"
      " colour each), while DCGANs train; seed 0. At first the generator draws no digits, and what"
      " the classifier says of noise is no class.",
      _draw(classes, image_at, "class"),
    ),
  ]
  return Evidence(numbers, table, drawn)


def _watch_points(lab, toy, choices, seeds, at) -> Observed:
  runs = Grid("ring", choices).settings(range(seeds))
  networks = runs[0].networks()

  def look(key, state, data):
    del data
    samples = generate(networks, state, key, N_MODE_SAMPLES)
    return {"shares": mode_statistics(samples, *toy.modes).shares}

  return observe_settings(runs, lab.data_dir, at, look)


def _watch_images(dataset: Dataset, choices, at) -> Observed:
  (run,) = Grid(dataset.name, choices).settings([0])
  networks = run.networks()

  def look(key, state, data):
    logits = classify(data["classifier"], generate(networks, state, key, _N_IMAGES))
    counts = jnp.bincount(jnp.argmax(logits, -1), length=logits.shape[-1])
    return {"shares": counts / _N_IMAGES}

  def sample_real(key, data, batch_size):
    return dataset.sample_real(key, data["train"], batch_size)

  data = {"train": dataset.train, "classifier": load_classifier_measures(dataset).params}
  return observe(run.config(), networks, sample_real, data, [(run.hparams(), 0)], at, look)


def _told(shares, at) -> dict[str, np.ndarray]:
  """What shares tell after the warm-up, for each seed.

  Args:
    shares: [seeds, looks, modes].
    at: steps, [looks].

  Returns:
    `least` and `last`: modes held, at the fewest and at the end; `collapsed`: whether at some look
    half of the modes at most is held while one leads; `mean`: held on average; `largest`: the
    largest share; `moves`: how often another mode leads than at the look before, where at both a
    mode leads, with a share of at least twice a fair one.
  """
  shares = np.array(shares)[:, np.array(at) >= _WARM_UP * at[-1]]
  fair = 1 / shares.shape[-1]
  held = (shares >= _HELD * fair).sum(-1)
  leads, leader = shares.max(-1) >= _LEADS * fair, shares.argmax(-1)
  moved = (leader[:, 1:] != leader[:, :-1]) & leads[:, 1:] & leads[:, :-1]
  return {
    "least": held.min(1),
    "collapsed": (leads & (held <= shares.shape[-1] / 2)).any(1),
    "last": held[:, -1],
    "mean": held.mean(1),
    "largest": shares.max((1, 2)),
    "moves": moved.sum(1),
  }


def _row(shares, at) -> dict:
  told = _told(shares, at)
  titles = {
    "least": "held at the fewest",
    "mean": "held on average",
    "last": "held at the end",
    "largest": "largest share",
    "moves": "times that the lead changed",
  }
  return {
    f"{title}, by seed": ", ".join(f"{value:.3g}" for value in told[name])
    for name, title in titles.items()
  }


def _judge(numbers: dict) -> Judgement:
  told = {method: _told(each, numbers["steps"]) for method, each in numbers["modes"].items()}
  n_modes = np.shape(numbers["modes"]["gp"])[-1]
  critic, others = told["gp"], [told[name] for name in ("minimax", "nonsaturating")]
  collapses = any(
    each["collapsed"].mean() > 0.5 and (each["moves"] > 0).mean() > 0.5 for each in others
  )
  holds = (
    collapses
    and (critic["last"] == n_modes).all()
    and all(critic["mean"].mean() > each["mean"].mean() for each in others)
  )
  seen = "; ".join(
    f"{_METHODS[method]}: {(each['least'] < n_modes).sum()} of {len(each['least'])} seeds lost"
    f" modes ({each['least'].min()} of {n_modes} held at the fewest, {each['mean'].mean():.1f} on"
    f" average), the largest share {each['largest'].max():.2f}, the lead changed in"
    f" {(each['moves'] > 0).sum()} (up to {each['moves'].max()} times)"
    for method, each in told.items()
  )
  return Judgement(verdict(holds), f"After the first sixth of the steps, {seen}.")


def _draw(shares, at, what) -> bytes:
  n_seeds = len(next(iter(shares.values())))
  figure = Figure(figsize=(max(6, 3.2 * n_seeds), 1 + 2 * len(shares)), layout="constrained")
  grid = figure.subplots(len(shares), n_seeds, squeeze=False, sharex=True, sharey=True)
  for axes_of, (method, each) in zip(grid, shares.items(), strict=True):
    for seed, axes in enumerate(axes_of):
      values = np.array(each[seed])
      colours = [f"C{i}" for i in range(values.shape[1])]
      labels = [f"{what} {i}" for i in range(values.shape[1])]
      axes.stackplot(at, values.T, colors=colours, labels=labels, linewidth=0)
      axes.set(xlim=(0, at[-1]), ylim=(0, 1))
      axes.set_title(f"{_METHODS[method]}, seed {seed}", fontsize=9)
    axes_of[0].set(ylabel=f"share of each {what}")
  for axes in grid[-1]:
    axes.set(xlabel="generator updates")
  handles, labels = grid[0, 0].get_legend_handles_labels()
  figure.legend(handles, labels, fontsize=7, loc="outside right center")
  return render(figure)


CLAIM = Claim(
  name="mode_collapse",
  sentence="With a cross-entropy loss the generator settles on one or a few modes and may move from"
  " mode to mode; the W-loss has less of it.",
  source="Course, row 2",
  settings="Ring of 8 Gaussians, MLP pairs of 3 x 64, Adam at a constant 1e-3, batch 256; with the"
  " W-loss penalty 0.1 and 5 critic updates. Digits, DCGAN, Adam 2e-4, batch 64: shown, not judged,"
  " one seed, at quick scale with the non-saturating loss alone. A mode is held with"
  " a tenth of its fair share of the samples; it leads with twice that share. The course has"
  " no experiment for it.",
  criterion="On the ring, after the first sixth of the steps: with one of the two cross-entropy"
  " losses at least, most seeds come to hold half of the modes at most while one leads with twice"
  " its fair share, and in most seeds the lead passes from one leading mode to another; with the"
  " W-loss every seed holds all modes at the end, and more on average over time than with either"
  " cross-entropy loss.",
  scales={
    "quick": {
      "seeds": 3,
      "steps": 3000,
      "looks": 60,
      "image_set": "digits",
      "image_methods": ["nonsaturating"],
      "image_steps": 600,
      "width": 16,
    },
    "full": {
      "seeds": 5,
      "steps": 20_000,
      "looks": 100,
      "image_set": "mnist",
      "image_methods": list(_METHODS),
      "image_steps": 20_000,
      "width": 64,
    },
  },
  minutes={"quick": 1.5, "full": 20.0},
  measure=_measure,
  judge=_judge,
)
