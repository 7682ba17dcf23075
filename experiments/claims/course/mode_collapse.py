"""Course, row 2: mode collapse, and a generator that moves on from mode to mode, for each loss."""

import jax.numpy as jnp
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import label_panel, make_panels, picture
from experiments.claims.summary import by_seed, even_steps
from experiments.measures.classes import load_classifier_measures
from experiments.measures.samples import N_MODE_SAMPLES
from wgan_jax import generate
from wgan_jax.modes import mode_statistics
from wgan_jax.networks.classifier import classify

_METHODS = {"minimax": "cross-entropy, minimax", "nonsaturating": "cross-entropy, non-saturating"}
_METHODS["gp"] = "W-loss with penalty"
_SHOWN = ("least", "mean", "last", "largest", "moves")
_N_IMAGES = 500  # As they go through a classifier.
_WARM_UP = 1 / 6  # Of the steps: a generator that has not reached the data has no modes to lose.
_HELD, _LEADS = 0.1, 2.0  # Shares, in units of a fair one, of a mode that is held, and that leads.


def _measure(lab, *, seeds, steps, looks, image_set, image_methods, image_steps, width):
  at, image_at = [0, *even_steps(steps, looks)], [0, *even_steps(image_steps, 20)]
  points, classifier = lab.load("ring"), load_classifier_measures(lab.load(image_set)).params

  def look_at_points(networks, key, state, data):
    samples = generate(networks, state, key, N_MODE_SAMPLES)
    return {"shares": mode_statistics(samples, *points.toy.modes).shares}

  def look_at_images(networks, key, state, classifier):
    logits = classify(classifier, generate(networks, state, key, _N_IMAGES))
    counts = jnp.bincount(jnp.argmax(logits, -1), length=logits.shape[-1])
    return {"shares": counts / _N_IMAGES}

  def watch(runs, at, look, *more):
    networks = runs[0].networks()
    watched = lab.observe_settings(runs, at, lambda *now: look(networks, *now), *more)
    return watched.seen["shares"].tolist()

  shares, classes = {}, {}
  for method in _METHODS:
    shares[method] = watch(lab.settings("ring", seeds, methods=method), at, look_at_points)
  for method in image_methods:
    runs = lab.settings(image_set, 1, methods=method, width=width)
    classes[method] = watch(runs, image_at, look_at_images, classifier)
  numbers = {"steps": at, "modes": shares, "image_steps": image_at, "classes": classes}
  table = [
    {"data": data, "loss": _METHODS[method]}
    | {f"{key}, by seed": by_seed(_summarize(values, steps)[key]) for key in _SHOWN}
    for data, found, steps in (("ring", shares, at), (image_set, classes, image_at))
    for method, values in found.items()
  ]
  on_points = f"Ring: shares of {N_MODE_SAMPLES:,} samples nearest to each mode, {seeds} seeds."
  on_images = f"{image_set}: {_N_IMAGES} samples in each of ten classes, by a classifier, seed 0."
  pictures = [_draw(shares, at, "mode", on_points), _draw(classes, image_at, "class", on_images)]
  return Evidence(numbers, table, pictures)


def _summarize(shares, at) -> dict[str, np.ndarray]:
  """Counts each seed's modes held and changes of the lead; shares are [seeds, looks, modes]."""
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


def _criterion(numbers):
  modes, steps = numbers["modes"], numbers["steps"]
  summaries = {method: _summarize(each, steps) for method, each in modes.items()}
  n_modes = np.shape(modes["gp"])[-1]
  critic, others = summaries["gp"], [summaries[name] for name in ("minimax", "nonsaturating")]
  most = [(each["collapsed"].mean(), (each["moves"] > 0).mean()) for each in others]
  collapses = any(min(shares) > 0.5 for shares in most)
  more = all(critic["mean"].mean() > each["mean"].mean() for each in others)
  holds = collapses and (critic["last"] == n_modes).all() and more
  seen = "; ".join(
    f"{_METHODS[method]}: {(each['least'] < n_modes).sum()} of {len(each['least'])} seeds lost"
    f" modes ({each['least'].min()} of {n_modes} held at the fewest, {each['mean'].mean():.1f} on"
    f" average), the largest share {each['largest'].max():.2f}, the lead changed in"
    f" {(each['moves'] > 0).sum()} (up to {each['moves'].max()} times)"
    for method, each in summaries.items()
  )
  return verdict(holds, f"After the first sixth of the steps, {seen}.")


def _draw(shares, at, what, caption):
  n_seeds = len(next(iter(shares.values())))
  shape, size = (len(shares), n_seeds), (max(6, 3.2 * n_seeds), 1 + 2 * len(shares))
  figure, grid = make_panels(*shape, size=size, squeeze=False, sharex=True, sharey=True)
  for row, (method, each) in zip(grid, shares.items(), strict=True):
    for seed, axes in enumerate(row):
      colours = [f"C{i}" for i in range(10)]
      bands = axes.stackplot(at, np.array(each[seed]).T, colors=colours, linewidth=0)
      label_panel(axes, f"{_METHODS[method]}, seed {seed}", xlim=(0, at[-1]), ylim=(0, 1))
  figure.supxlabel("generator updates")
  figure.supylabel(f"share of each {what}")
  figure.legend(bands, range(len(bands)), title=what, loc="outside right center")
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="mode_collapse", place=2, source="Course, row 2",
  sentence="With a cross-entropy loss the generator settles on one or a few modes and may move from"
  " mode to mode; the W-loss has less of it.",
  settings="Ring, MLP pairs of 3 x 64, Adam 1e-3, batch 256; with the W-loss penalty 0.1 and 5"
  " critic updates. Digits are shown, not judged. A mode is held with a tenth of its fair share of"
  " the samples; it leads with twice that share. The course has no experiment.",
  criterion_text="On the ring, after the first sixth: with one of the cross-entropy losses most"
  " seeds at some look hold half of the modes at most while one leads, and in most another takes"
  " the lead; with the W-loss every seed holds all modes at the end, and more on average.",
  quick=dict(seeds=3, steps=3000, looks=60, image_set="digits", image_methods=["nonsaturating"],
    image_steps=600, width=16),
  full=dict(seeds=5, steps=20_000, looks=100, image_set="mnist", image_methods=list(_METHODS),
    image_steps=20_000, width=64),
  tiny=dict(seeds=1, steps=6, looks=3, image_steps=2, width=2), minutes=dict(quick=1.5, full=20.0),
)  # fmt: skip
