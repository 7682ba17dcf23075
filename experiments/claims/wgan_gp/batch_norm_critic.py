"""WGAN-GP, section 4: a critic that couples the samples of a batch, INVALID on purpose."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import label_panel, log_map, make_panels, picture
from experiments.claims.summary import arrays, rows_by_seed, span
from wgan_jax.penalties import gradient_norms

_WORDS = {"batch": "batch normalisation", "layer": "layer normalisation", "none": "neither"}
_SHOWN = 16


def _measure(lab, *, seeds, width, batch_size):
  x = jnp.asarray(lab.load("digits").held_out[:batch_size]).reshape(batch_size, -1)
  numbers, table, shown = {}, [], {}
  for normalisation, words in _WORDS.items():
    seen = [_look(normalisation, seed, x, width) for seed in range(seeds)]
    sizes, off, error = zip(*seen, strict=True)
    shown[normalisation] = sizes[0]
    numbers[normalisation] = {"off_diagonal": list(off), "norm_error": list(error)}
    table += rows_by_seed({"critic": words}, numbers[normalisation])
  return Evidence(numbers, table, [_draw(shown, batch_size)])


def _look(normalisation, seed, x, width):
  """Computes |d score_i / d x_j|, its share off the diagonal, and the usual norms' error."""
  keys = jax.random.split(jax.random.key(seed), 3)
  sizes = [(x.shape[1], width), (width, width), (width, 1)]
  normal = (jax.random.normal(*each) for each in zip(keys, sizes, strict=True))
  weights = [each * (2 / len(each)) ** 0.5 for each in normal]

  def scores(x):
    for matrix in weights[:-1]:
      x = x @ matrix
      if normalisation != "none":
        axis = 0 if normalisation == "batch" else 1
        deviation = jnp.std(x, axis, keepdims=True)
        x = (x - jnp.mean(x, axis, keepdims=True)) / (deviation + 1e-5)
      x = jax.nn.relu(x)
    return (x @ weights[-1])[:, 0]

  jacobian = jax.jit(jax.jacrev(scores))(x)  # [i, j, pixels]
  sizes = jnp.linalg.norm(jacobian, axis=2)
  own = jnp.diagonal(sizes)
  off = jnp.linalg.norm(sizes - jnp.diag(own)) / jnp.linalg.norm(sizes)
  usual = jnp.linalg.norm(jnp.sum(jacobian, axis=0), axis=1)  # The gradient of the scores' sum.
  if normalisation != "batch":
    own = gradient_norms(lambda one: scores(one[None])[0], x)  # Functions of one sample.
  error = jnp.max(jnp.abs(usual - own)) / jnp.mean(own)
  return np.asarray(sizes), float(off), float(error)


def _criterion(numbers):
  off, wrong = arrays(numbers["batch"], "off_diagonal", "norm_error")
  others = np.max([list(numbers[name].values()) for name in ("layer", "none")])
  return verdict(
    np.all((off > 0.1) & (wrong > 0.01)) and others < 1e-3,
    f"With batch normalisation {span(off, '.2f')} of the Jacobian lies off its diagonal, and the"
    f" gradient of the scores' sum is off the sample's own by up to {wrong.max():.0%} of the mean"
    f" norm; without it, or by layers, {others:.1g}.",
  )


def _draw(shown, batch_size):
  figure, panels = make_panels(1, len(shown), size=(10, 3.4), sharey=True)
  for axes, (normalisation, sizes) in zip(panels, shown.items(), strict=True):
    drawn = log_map(axes, np.maximum(sizes / sizes.max(), 1e-9)[:_SHOWN, :_SHOWN])
    ticks = range(0, _SHOWN, 5)
    label_panel(axes, _WORDS[normalisation], xlabel="sample j", xticks=ticks, yticks=ticks)
  panels[0].set_ylabel("score of sample i")
  figure.colorbar(drawn, ax=panels, label="|d score i / d sample j|, over the largest", shrink=0.9)
  caption = f"How the score of one image depends on others of its batch of {batch_size}, seed 0."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="batch_norm_critic", place=8,
  source="WGAN-GP, section 4, no critic batch normalization",
  sentence="Batch normalisation makes a critic a function of the whole batch, for which a penalty"
  " on the gradient of each sample is not valid; layer normalisation is a replacement.",
  settings="Held-out digits, critics of 2 ReLU layers at their start. Usual code takes the gradient"
  " of the sum of scores for the samples' own.",
  criterion_text="Every seed. With batch normalisation over a tenth of the Jacobian's norm lies off"
  " its diagonal, and the sum's gradient is off some sample's own by over 1 % of the mean norm."
  " With the others both are below 0.001.",
  quick=dict(seeds=3, width=128, batch_size=64), full=dict(seeds=10, width=512),
  tiny=dict(seeds=1, width=8, batch_size=4), minutes=dict(quick=0.1, full=0.5),
)  # fmt: skip
