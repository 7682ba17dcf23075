"""Course, row 9: weight clipping limits the critic or does not constrain it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import lines_by_seed, make_panels, mark, picture
from experiments.claims.summary import arrays
from wgan_jax import Config, Hparams, gradient_norms, wasserstein_estimate
from wgan_jax.data.toy import load_toy
from wgan_jax.lipschitz import largest_gradient_norm
from wgan_jax.networks import mlp

_MEASURES = ("estimate", "norm_at_fake", "norm_found")
_NEAR = 1.5  # A factor within which an estimate is of use.


def _measure(lab, *, seeds, steps, width, clip_values):
  toy = load_toy("two_gaussians")
  networks = mlp((2,), latent_dim=2, width=width)._replace(generator=toy.generator)
  box = jnp.array([4.0, 2.0])

  def look(key, state, data):
    key_pairs, key_search = jax.random.split(key)
    critic_fn = functools.partial(networks.critic.apply, state.critic_params)
    pairs, scores = toy.sample_coupling(key_pairs, data, 1000), jax.vmap(critic_fn)
    largest = [jnp.abs(leaf).max() for leaf in jax.tree.leaves(state.critic_params)]
    return {
      "estimate": wasserstein_estimate(scores(pairs.real), scores(pairs.fake)),
      "norm_at_fake": gradient_norms(critic_fn, pairs.fake).mean(),
      "norm_found": largest_gradient_norm(key_search, critic_fn, -box, box, n_steps=20)[0],
      "largest_weight": jnp.stack(largest).max(),
    }

  first = [step for step in (1, 2, 3, 10, 100) if step < steps]
  critic = {"penalty": "clip", "optimizer": "rmsprop", "n_critic": 1}
  config = Config(**critic, batch_size=256, fixed_generator=True)
  hparams = [Hparams(1e-3, 0.5, 0.99, clip_value=c, decay_steps=steps) for c in clip_values]
  source, at = (toy.sample_real, toy.data), [*first, steps]
  watched = lab.observe(config, networks, source, hparams, seeds, at, look)
  shape = (len(clip_values), seeds, -1)
  seen = {name: values.reshape(shape) for name, values in watched.seen.items()}
  numbers = {"clip_values": list(clip_values), "true": 4.0}
  numbers |= {name: seen[name][..., -1].tolist() for name in _MEASURES}
  numbers["largest_weight"] = seen["largest_weight"].max((1, 2)).tolist()
  table = [
    {"clip value": value, "largest |w|": numbers["largest_weight"][i]}
    | {f"{name}, mean": float(np.mean(numbers[name][i])) for name in _MEASURES}
    for i, value in enumerate(clip_values)
  ]
  return Evidence(numbers, table, [_draw(numbers, seeds, steps)])


def _criterion(numbers):
  clip_values, true = np.array(numbers["clip_values"]), numbers["true"]
  estimate, at_fake, found = arrays(numbers, *_MEASURES)
  obeyed = bool(np.all(np.array(numbers["largest_weight"]) <= clip_values * (1 + 1e-6)))
  limited = bool(np.all(np.abs(estimate[0]) < 0.1 * true) and np.all(at_fake[0] < 0.01))
  loose = bool(np.all(estimate[-1] > 2 * true) and np.all(found[-1] > 10))
  near = np.all((estimate > true / _NEAR) & (estimate < true * _NEAR), axis=1)
  return verdict(
    obeyed and limited and loose and 0 < near.mean() <= 0.25,
    f"True distance {true:g}. At {clip_values[0]:g} the estimate is at most {estimate[0].max():.2g}"
    f" and the gradient at the fakes {at_fake[0].max():.2g}; at {clip_values[-1]:g} the estimate is"
    f" at least {estimate[-1].min():.3g} and a gradient norm of {found[-1].min():.3g} is found."
    f" {near.sum()} of {len(near)} clip values give an estimate within a factor of {_NEAR}. The"
    f" weights stay within the clip value: {'yes' if obeyed else 'no'}.",
  )


def _draw(numbers, seeds, steps):
  figure, (left, right) = make_panels(1, 2, size=(9.5, 3.8))
  x = numbers["clip_values"]
  for axes, name, words in (
    (left, "estimate", "critic's estimate"),
    (right, "norm_found", "largest found"),
    (right, "norm_at_fake", "mean at the generated samples"),
  ):
    style = {"marker": ".-", "color": f"C{len(axes.lines)}", "alpha": 0.7}
    lines_by_seed(axes, x, np.abs(np.array(numbers[name])).T, words, **style)
  mark(left, y=numbers["true"], label="true distance")
  left.axhspan(numbers["true"] / _NEAR, numbers["true"] * _NEAR, alpha=0.12, color="gray")
  mark(right, y=1, label="1-Lipschitz")
  for axes, label in ((left, "|estimate| (W1)"), (right, "gradient norm")):
    axes.set(xscale="log", yscale="log", xlabel="clip value c", ylabel=label)
  caption = f"After {steps:,} updates, {seeds} seeds; grey: within a factor of {_NEAR} of W1."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="weight_clipping", place=9, source="Course, row 9; WGAN, section 3",
  sentence="After each update the weights are clipped to an interval: too small a one limits the"
  " critic, too large a one does not constrain it, and it takes much tuning to find one between.",
  settings="Two Gaussians in the plane, 4 apart, the generator fixed; ReLU critics of 3 layers,"
  " batch 256, RMSProp at 1e-3 falling to 0 (Algorithm 1: a constant 5e-5 and c = 0.01 only).",
  criterion_text="Every seed: no |w| above the clip value at any look; at the smallest value"
  " |estimate| below a tenth of the distance and norms at the fakes below 0.01; at the largest an"
  " estimate above twice it and a norm above 10. A quarter of the values at most, and one at least,"
  " give an estimate within a factor of 1.5.",
  quick=dict(seeds=2, steps=1500, width=64, clip_values=(0.001, 0.003, 0.01, 0.02, 0.03, 0.04, 0.06,
    0.07, 0.08, 0.1, 0.3)),
  full=dict(seeds=5, steps=10_000, clip_values=(0.001, 0.003, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06,
    0.07, 0.08, 0.1, 0.3, 1.0)),
  tiny=dict(seeds=1, steps=4, width=4, clip_values=(0.01, 1.0)), minutes=dict(quick=0.3, full=3.0),
)  # fmt: skip
