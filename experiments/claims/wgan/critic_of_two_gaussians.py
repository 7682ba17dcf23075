"""Wasserstein GAN, figure 2: between two Gaussians a discriminator saturates, a critic does not."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import lines_by_seed, make_panels, mark, picture
from experiments.claims.summary import rows_by_seed
from wgan_jax.config import Config, Hparams
from wgan_jax.data.toy import load_toy
from wgan_jax.networks import mlp

_X = np.linspace(-4.0, 4.0, 321)
_MEAN, _SIGMA = 2.0, 0.5  # Of the real ones; the generator's have mean -2.
_SEGMENT = np.abs(_X) <= _MEAN
_CLIP = {"penalty": "clip", "optimizer": "rmsprop"}
_METHODS = {
  "discriminator": ({"loss": "nonsaturating", "penalty": "none"}, Hparams(1e-3, 0.5, 0.999)),
  "clipping": (_CLIP, Hparams(5e-5, beta2=0.99, clip_value=0.01)),
  "penalty": ({"penalty": "gp"}, Hparams(1e-3, beta2=0.9, lambda_gp=10.0)),
}


def _measure(lab, *, seeds, steps, width):
  toy = load_toy("two_gaussians", dim=1)
  networks = mlp((1,), latent_dim=1, width=width, depth=3)._replace(generator=toy.generator)
  numbers, table, source = {"x": _X.tolist()}, [], (toy.sample_real, toy.data)
  for name, (choices, hparams) in _METHODS.items():

    def look(key, state, data, name=name):

      def output(x):
        score = networks.critic.apply(state.critic_params, x[None])
        return jax.nn.sigmoid(score) if name == "discriminator" else score

      value, slope = jax.vmap(jax.value_and_grad(output))(jnp.asarray(_X, jnp.float32))
      largest = [jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(state.critic_params)]
      return {"value": value, "slope": slope, "largest_weight": jnp.max(jnp.stack(largest))}

    config = Config(**choices, n_critic=1, batch_size=256, fixed_generator=True)
    seen = lab.observe(config, networks, source, hparams, seeds, [steps], look).seen
    own = {key: values[:, 0].tolist() for key, values in seen.items()}
    columns = {"least slope / largest": _least(own["slope"]), "correlation": _linear(own["value"])}
    table += rows_by_seed({"network": name}, columns)
    numbers[name] = own
  return Evidence(numbers, table, [_draw(numbers, seeds)])


def _least(slopes):
  """Computes the least slope over the largest, between the means, for each seed."""
  sizes = np.abs(np.asarray(slopes)[:, _SEGMENT])
  return sizes.min(1) / np.maximum(sizes.max(1), 1e-30)


def _linear(values):
  """Correlates values with x between the means, for each seed."""
  inside = np.asarray(values)[:, _SEGMENT]
  if not np.isfinite(inside).all():
    return np.full(len(inside), np.nan)
  spread = inside.std(1) * _X[_SEGMENT].std()
  inner = ((inside - inside.mean(1, keepdims=True)) * _X[_SEGMENT]).mean(1)
  return inner / np.maximum(spread, 1e-30)


def _criterion(numbers):
  least = {name: _least(numbers[name]["slope"]) for name in _METHODS}
  linear = min(_linear(numbers[name]["value"]).min() for name in ("clipping", "penalty"))
  largest = np.max(numbers["clipping"]["largest_weight"])
  critics = np.concatenate([least["clipping"], least["penalty"]])
  taught = least["discriminator"].max() < 0.01 and critics.min() > 0.2
  return verdict(
    taught and linear > 0.95 and largest <= 0.01 * (1 + 1e-6),
    "Between the means, the least slope over the largest, worst seed: discriminator"
    f" {least['discriminator'].max():.2g}, critic by clipping {least['clipping'].min():.2f}, by"
    f" penalty {least['penalty'].min():.2f}; the critics' correlation with x is at least"
    f" {linear:.3f}; the largest clipped weight is {largest:.3g}.",
  )


def _draw(numbers, seeds):
  figure, (left, right) = make_panels(1, 2, size=(9.5, 3.8))
  for side, loc in (("real", _MEAN), ("fake", -_MEAN)):
    left.fill_between(_X, scipy.stats.norm.pdf(_X, loc, _SIGMA), alpha=0.25, label=side)
  colours = {"discriminator": "tab:red", "clipping": "tab:cyan", "penalty": "tab:purple"}
  for name, colour in colours.items():
    words = "discriminator, probability" if name == "discriminator" else f"critic, {name} (scaled)"
    values, slopes = (np.array(numbers[name][key]) for key in ("value", "slope"))
    if name != "discriminator":  # A critic is free up to a constant, and clipping sets its size.
      first, last = values[:, _SEGMENT][:, [0, -1]].T[..., None]
      values = (values - first) / (last - first)
    lines_by_seed(left, _X, values, words, color=colour)
    relative = np.abs(slopes) / np.abs(slopes[:, _SEGMENT]).max(1, keepdims=True)
    lines_by_seed(right, _X, np.maximum(relative, 1e-9), words, color=colour)
  right.set(yscale="log", ylabel="|slope| / its largest between the means", xlabel="x")
  left.set(xlabel="x", ylabel="density; output", ylim=(-0.6, 1.6))
  for axes in (left, right):
    mark(axes, x=-_MEAN)
    mark(axes, x=_MEAN)
  caption = f"{seeds} seeds, a line each; dotted: the means, where critics are scaled to 0 and 1."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="critic_of_two_gaussians", place=2, source="Wasserstein GAN, figure 2",
  sentence="Trained to optimality between two Gaussians, the discriminator saturates and its"
  " gradient vanishes, while the critic stays near linear with a clean gradient between them.",
  settings="On the line: N(2, 1/4), fixed generator N(-2, 1/4); ReLU networks of 3 layers, batch"
  " 256. Discriminator: Adam 1e-3 (0.5, 0.999). Critic by clipping as Algorithm 1 and, beyond the"
  " paper, by penalty (Adam 1e-3 (0.5, 0.9), lambda 10). The paper gives no networks.",
  criterion_text="Between the means, every seed: the least |slope| of the discriminator's"
  " probability is below 1 % of its largest; that of a critic's score above 20 %, and the score"
  " correlates with x above 0.95. No clipped weight exceeds c.",
  quick=dict(seeds=3, steps=5000, width=64), full=dict(seeds=5, steps=20000, width=512),
  tiny=dict(seeds=2, steps=3, width=4), minutes=dict(quick=0.5, full=3.0),
)  # fmt: skip
