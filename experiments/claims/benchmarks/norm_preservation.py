"""Orthonormal kernels with ReLU and with MaxMin, where distance and best critic are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import lines_by_seed, make_panels, mark, picture
from experiments.claims.summary import rows_by_seed, span
from wgan_jax import Config, Hparams, wasserstein_estimate
from wgan_jax.constraints import CONSTRAINTS, one_lipschitz
from wgan_jax.data.toy import fixed_generator
from wgan_jax.kernels import orthonormal
from wgan_jax.layers import Dense, apply_layers
from wgan_jax.lipschitz import certified_distance, certify
from wgan_jax.networks import mlp
from wgan_jax.types import Network

_ACTIVATIONS = ("ReLU", "MaxMin")
_ALONG = np.linspace(-1.5, 1.5, 121, dtype=np.float32)
_N_HELD_OUT = 2000


def _measure(lab, *, seeds, dims, width, depth, steps, batch_size):
  numbers, table = {"dims": dims}, []
  config = Config(penalty="none", n_critic=1, batch_size=batch_size, fixed_generator=True)
  hparams = Hparams(1e-2, 0.5, 0.999, decay_steps=steps)
  for activation in _ACTIVATIONS:
    own = numbers[activation] = {"certified": [], "along": []}
    for dim in dims:
      pair = mlp((dim,), latent_dim=dim, width=width, depth=depth)
      critic = _orthonormal(pair.critic, activation)
      pair = pair._replace(critic=critic, generator=fixed_generator(jnp.zeros_like))
      real = _sample_sphere(jax.random.key(1), dim, _N_HELD_OUT)

      def look(key, state, data, critic=critic, real=real, dim=dim):
        del key, data
        score = jax.vmap(functools.partial(critic.apply, state.critic_params))
        line = jnp.zeros((len(_ALONG), dim)).at[:, 0].set(_ALONG)
        scores, at_zero = score(line), score(jnp.zeros((1, dim)))
        difference = wasserstein_estimate(score(real), at_zero)
        return {"params": state.critic_params, "along": scores - at_zero, "estimate": difference}

      source = functools.partial(_sample_real, dim), ()
      seen = lab.observe(config, pair, source, hparams, seeds, [steps], look).seen
      certified = []
      for seed in range(seeds):
        params = jax.tree.map(lambda leaf, seed=seed: leaf[seed, 0], seen["params"])
        bound = certify(critic.layers(params), (dim,)).bound
        certified.append(certified_distance(seen["estimate"][seed, 0], bound))
      own["certified"].append(certified)
      own["along"].append(seen["along"][:, 0].tolist())
      labels = {"activation": activation, "dimension": str(dim)}
      table += rows_by_seed(labels, {"certified, of a distance of 1": certified})
  return Evidence(numbers, table, [_draw(numbers, seeds)])


def _orthonormal(critic, activation):
  """The critic with orthonormal kernels, and with its own ReLU or with MaxMin."""
  if activation == "MaxMin":
    return one_lipschitz(critic, CONSTRAINTS["orthonormal"])

  def layers(params):
    return [
      each._replace(kernel=orthonormal(each.kernel)) if isinstance(each, Dense) else each
      for each in critic.layers(params)
    ]

  return Network(critic.init, lambda params, x: apply_layers(layers(params), x), layers)


def _sample_sphere(key, dim, n):
  x = jax.random.normal(key, (n, dim))
  return x / jnp.linalg.norm(x, axis=1, keepdims=True)


def _sample_real(dim, key, data, batch_size):
  del data
  return _sample_sphere(key, dim, batch_size)


def _criterion(numbers):
  relu, maxmin = (np.array(numbers[name]["certified"]) for name in _ACTIVATIONS)
  holds = maxmin[0].min() >= 0.95 and np.all(maxmin.min(1) >= relu.max(1) + 0.1)
  seen = "; ".join(
    f"{dim} dimensions, {' and '.join(f'{span(own)} by {name}' for name, own in each.items())}"
    for dim, *pair in zip(numbers["dims"], relu, maxmin, strict=True)
    for each in [dict(zip(_ACTIVATIONS, pair, strict=True))]
  )
  return verdict(holds, f"Certified lower bounds of a distance of 1: {seen}.")


def _draw(numbers, seeds):
  dims = numbers["dims"]
  figure, panels = make_panels(
    1, len(dims), size=(4.2 * len(dims), 3.6), sharey=True, squeeze=False
  )
  for i, (axes, dim) in enumerate(zip(panels[0], dims, strict=True)):
    axes.plot(_ALONG, np.abs(_ALONG), color="gray", linestyle=":", label="the best, |x|")
    for colour, name in zip(("tab:red", "tab:blue"), _ACTIVATIONS, strict=True):
      lines_by_seed(axes, _ALONG, numbers[name]["along"][i], name, color=colour)
    for x in (-1, 1):
      mark(axes, x=x)
    axes.set(title=f"{dim} dimensions", xlabel="along one axis", ylabel="score less that at 0")
  caption = f"Critics between a sphere of radius 1 (dotted) and its centre; {seeds} seeds, a line"
  return picture(figure, f"{caption} each.")


CLAIM = Claim(
  _measure, _criterion, name="norm_preservation", place=1.5,
  source="Anil, Lucas and Grosse, 2019, arXiv 1811.05381, theorem 1 and section 7.1",
  sentence="Under a constraint on its weights' norms a ReLU critic cannot keep the norm of its"
  " gradient and stays below the distance; with MaxMin it comes close to it.",
  settings="Points spread over a sphere of radius 1 against its centre, at distance 1, where the"
  " best critic is |x|; MLP of orthonormal kernels (Cayley; the source has Björck), Adam 1e-2"
  " falling to 0. The bounds are of 2,000 points that training did not see.",
  criterion_text="Every seed: in the fewest dimensions MaxMin certifies at least 0.95 of the"
  " distance, and in all of them at least a tenth of the distance more than ReLU.",
  quick=dict(seeds=2, dims=(2, 16), width=64, depth=3, steps=1000, batch_size=128),
  full=dict(seeds=5, dims=(2, 16, 128), width=512, steps=10_000),
  tiny=dict(seeds=1, dims=(2,), width=4, steps=2, batch_size=4),
  minutes=dict(quick=0.8, full=5.0),
)  # fmt: skip
