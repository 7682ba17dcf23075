"""WGAN-GP, figure 5b: a large critic on a thousand digits overfits, and its loss shows it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import lines_by_seed, make_panels, mark, picture
from experiments.claims.summary import arrays, rows_by_seed
from wgan_jax import Config, Hparams, generate, wasserstein_estimate
from wgan_jax.data.images import sample_images, to_unit
from wgan_jax.networks.mlp import mlp

_METHODS = {"gp": "gradient penalty", "clip": "weight clipping, c = 0.01"}
_TRAIN = 1000


def _measure(lab, *, seeds, steps, look_every, dataset, width, batch_size, learning_rate):
  images = lab.load(dataset).images
  pictures = np.concatenate([images.train_images, images.test_images])
  order = np.random.default_rng(0).permutation(len(pictures))
  # As many again at most, so that a look stays cheap.
  data = {"train": pictures[order[:_TRAIN]], "validation": pictures[order[_TRAIN : 2 * _TRAIN]]}
  pair = mlp(pictures.shape[1:], latent_dim=64, width=width, depth=3, output=jnp.tanh)
  source = (lambda key, data, n: sample_images(key, data["train"], n), data)
  look = functools.partial(_look, pair)
  at = list(range(look_every, steps + 1, look_every))
  runs = {"gp": ("adam", Hparams(learning_rate, 0.0, 0.9, 10.0))}
  runs["clip"] = ("rmsprop", Hparams(5e-5, 0.0, 0.99, 0.0, 0.01))
  numbers, table = {"at": at, "n_validation": len(data["validation"])}, []
  for method, words in _METHODS.items():
    config = Config(penalty=method, optimizer=runs[method][0], batch_size=batch_size)
    seen = lab.observe(config, pair, source, runs[method][1], seeds, at, look).seen
    numbers[method] = {key: values.tolist() for key, values in seen.items()}
    columns = {f"{side}, end": values[:, -1] for side, values in seen.items()}
    columns |= {f"{side}, half-way": values[:, _half(at)] for side, values in seen.items()}
    table += rows_by_seed({"critic": words}, columns)
  return Evidence(numbers, table, [_draw(numbers, seeds)])


def _look(pair, key, state, data):
  """Computes the negative critic loss without the penalty, E c(x) - E c(g(z)), x of either side."""
  critic_fn = functools.partial(pair.critic.apply, state.critic_params)
  fake_scores = jax.vmap(critic_fn)(generate(pair, state, key, _TRAIN))
  return {
    side: wasserstein_estimate(jax.vmap(critic_fn)(to_unit(pictures)), fake_scores)
    for side, pictures in data.items()
  }


def _half(at):
  """Finds the first look of the later half."""
  return next(i for i, step in enumerate(at) if 2 * step >= at[-1])


def _criterion(numbers):
  steps, half = np.array(numbers["at"], float), _half(numbers["at"])
  apart, seen = {}, []
  for method, words in _METHODS.items():
    train, validation = arrays(numbers[method], "train", "validation")
    gaps = train - validation
    sides = (train, validation, gaps)
    rises, falls, opens = (_slopes(steps[half:], each[:, half:]) for each in sides)
    apart[method] = bool(np.all((gaps[:, -1] > 0) & (opens > 0)))
    if method == "gp":
      train_rises, validation_falls = np.all(rises > 0), np.all(falls < 0)
    means = [(each[:, half].mean(), each[:, -1].mean()) for each in sides]
    seen.append(
      f"{words}: training {means[0][0]:.3g} to {means[0][1]:.3g}, validation {means[1][0]:.3g} to"
      f" {means[1][1]:.3g}, their gap {means[2][0]:.2g} to {means[2][1]:.2g}"
    )
  holds = train_rises and validation_falls and all(apart.values())
  # What the paper has seen by its last step may not have begun.
  open_yet = apart["gp"] and validation_falls and steps[-1] < 20_000
  return verdict(
    holds,
    f"negative critic loss from step {steps[half]:.0f} to {steps[-1]:.0f}, mean of seeds:"
    f" {'; '.join(seen)}.",
    conclusive=holds or not open_yet,
  )


def _slopes(steps, curves):
  """Fits a slope to each curve; NaN, which is neither sign, for one that diverged."""
  return np.array(
    [np.polyfit(steps, each, 1)[0] if np.isfinite(each).all() else np.nan for each in curves]
  )


def _draw(numbers, seeds):
  figure, panels = make_panels(1, 2, size=(9, 3.8))
  for axes, (method, words) in zip(panels, _METHODS.items(), strict=True):
    for i, side in enumerate(("train", "validation")):
      lines_by_seed(axes, numbers["at"], numbers[method][side], side, color=f"C{i}")
    mark(axes, x=numbers["at"][_half(numbers["at"])])
    axes.set_title(words, fontsize=9)
  panels[0].set_ylabel("negative critic loss\nE c(x) - E c(g(z)) (units of score)")
  figure.supxlabel("step (generator updates)")
  caption = f"Training and kept-out digits, {seeds} seeds; dotted: slopes are fitted from there."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="overfitting_critic", place=4, source="WGAN-GP, figure 5b",
  sentence="A large unregularised critic trained on 1,000 digits overfits, and the loss shows it:"
  " under both methods the losses on training and validation data come apart, and with the penalty"
  " the negative loss rises on training data and falls on validation data.",
  settings="A random 1,000 digits to train on, up to 1,000 others to validate. Fully connected pair"
  " of 3 layers. Penalty: Adam (0, 0.9), lambda 10; clipping: RMSProp 5e-5, c = 0.01.",
  criterion_text="Every seed, slopes over the later half. Both methods: E c(x) - E c(g(z)) on"
  " training data less that on validation data is positive at the end, and rises. With the penalty"
  " the first rises, the second falls. Where only the rise, or clipping, is missing before the"
  " paper's 20,000 steps, the scale does not decide.",
  quick=dict(seeds=2, steps=2800, look_every=100, dataset="digits", width=256, batch_size=32,
    learning_rate=5e-4),
  full=dict(seeds=5, steps=20000, look_every=200, dataset="mnist", width=1024, batch_size=64,
    learning_rate=1e-4),
  tiny=dict(seeds=1, steps=3, look_every=1, width=4, batch_size=4, learning_rate=1e-4),
  minutes=dict(quick=2.7, full=30),
)  # fmt: skip
