r"""Toy data sets of points: mixtures with known modes, and pairs with a known distance.

Two of the sets have a fixed generator with a known W_1 to the data and a known optimal critic. Both
use one argument. Let a potential u be 1-Lipschitz, with u(fake) - u(real) = |fake - real| for every
pair that a coupling draws. Then by duality the coupling and the critic c = -u are optimal, and
W_1 = E |real - fake|.

References:
  [1] Gulrajani et al., Improved Training of Wasserstein GANs, 2017, arXiv 1704.00028v3, section 4.1
    (ring, grid and Swiss roll).
  [2] Lin et al., PacGAN, 2018, arXiv 1712.04086, section 4.1 (ring and grid as measures of modes).
  [3] Arjovsky, Chintala and Bottou, Wasserstein GAN, 2017, arXiv 1701.07875, figure 2.
  [4] Korotin, Kolesov and Burnaev, Kantorovich Strikes Back! Wasserstein GANs are not Optimal
    Transport?, NeurIPS 2022, arXiv 2206.07767, section 4.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from wgan_jax.types import Network

NAMES = ("ring", "grid", "swiss_roll", "two_gaussians", "funnels")

_HALF_CUBE = 2.5  # Funnels are in [-2.5, 2.5]^d.
_POWER = 8  # The higher, the more strongly a funnel pulls its points to the centre.
_CHUNK = 2**12  # Pairs drawn at a time: each is compared with every funnel.


class Mixture(NamedTuple):
  """Mixture of equally likely Gaussians of one size.

  Attributes:
    centres: [k, d].
    sigma: standard deviation of each coordinate within a mode, [].
  """

  centres: jax.Array
  sigma: jax.Array


class SwissRoll(NamedTuple):
  """A noisy spiral in the plane; `noise` [] is in the units of the roll before scaling."""

  noise: jax.Array


class Funnels(NamedTuple):
  """The potential u(x) = min_n (|x - a_n| + b_n); `centres` a [N, d], `offsets` b [N]."""

  centres: jax.Array
  offsets: jax.Array


class Coupling(NamedTuple):
  """Pairs of an optimal coupling; shuffle one side for unpaired samples.

  Attributes:
    real: points of the data, [n, d].
    fake: points of the fixed generator, [n, d].
    gradient: the optimal critic's gradient, [n, d], of norm 1, at `real` and all the way to `fake`.
      A critic's cosine with it shows errors that its estimate of the distance hides.
  """

  real: jax.Array
  fake: jax.Array
  gradient: jax.Array


class Toy(NamedTuple):
  """A data set of points and its known properties.

  Attributes:
    name: one of `NAMES`.
    dim: the dimension d of the points.
    data: the argument `data` of `sample_real` and `sample_coupling`.
    sample_real: (key, data, batch_size) -> points, [batch_size, d].
    modes: the mixture if modes are to be counted, else None.
    generator: the fixed generator for latents z ~ N(0, I_d), without parameters, or None.
    sample_coupling: (key, data, n) -> `Coupling` of data and fixed generator, or None.
  """

  name: str
  dim: int
  data: Mixture | SwissRoll | Funnels
  sample_real: Callable[[jax.Array, Any, int], jax.Array]
  modes: Mixture | None = None
  generator: Network | None = None
  sample_coupling: Callable[[jax.Array, Any, int], Coupling] | None = None


def load_toy(name: str, *, n_funnels: int = 4, dim: int = 2, seed: int = 0) -> Toy:
  r"""Loads a toy data set by its name.

  "ring" is 8 Gaussians of radius \sqrt 2, "grid" 25 of spacing 1 / \sqrt 2. They are as in [2] in
  the units of [1], where each coordinate has variance 1. "swiss_roll" is scikit-learn's, seen
  from the side, with noise 0.25, divided by 7.5. "two_gaussians" has real points N(\mu, I / 4) and
  the fixed generator N(-\mu, I / 4) with \mu = (2, 0, ...), so W_1 = 2 |\mu| = 4. For "funnels" see
  `sample_funnels`.

  Args:
    name: one of `NAMES`.
    n_funnels: number of funnels.
    dim: dimension of two_gaussians and funnels; the others are plane.
    seed: draws the funnels.

  Returns:
    The data set.

  Raises:
    ValueError: the name is unknown, or the set does not exist in `dim` dimensions.
  """
  if name not in NAMES:
    raise ValueError(f"{name!r} is not a toy data set: choose one of {', '.join(NAMES)}")
  if dim < 1 or (dim != 2 and name in ("ring", "grid", "swiss_roll")):
    raise ValueError(f"{name} has no form in {dim} dimensions")
  if name == "swiss_roll":
    return Toy(name, dim, SwissRoll(jnp.float32(0.25)), sample_swiss_roll)
  if name == "funnels":
    # Folded in, so that the stream is not that of a run with this seed.
    key = jax.random.fold_in(jax.random.key(seed), 0x66756E6E)
    data = make_funnels(key, n_funnels, dim)
    generator = fixed_generator(lambda z: 2 * _HALF_CUBE * (jax.scipy.stats.norm.cdf(z) - 0.5))
    return Toy(name, dim, data, _sample_pulled, None, generator, sample_funnels)
  if name == "two_gaussians":
    data = Mixture(jnp.zeros((1, dim)).at[0, 0].set(2.0), jnp.float32(0.5))
    generator = fixed_generator(lambda z: data.sigma * z - data.centres)
    return Toy(name, dim, data, sample_mixture, None, generator, sample_two_gaussians)
  if name == "ring":
    angles = jnp.arange(8) * (2 * math.pi / 8)
    centres = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1) * math.sqrt(2)
    modes = Mixture(centres, jnp.float32(0.01 * math.sqrt(2)))
  else:
    line = jnp.arange(-2, 3) / math.sqrt(2)
    centres = jnp.stack(jnp.meshgrid(line, line), axis=-1).reshape(-1, 2)
    modes = Mixture(centres, jnp.float32(0.05 / math.sqrt(8)))
  return Toy(name, dim, modes, sample_mixture, modes)


def sample_mixture(key: jax.Array, data: Mixture, batch_size: int) -> jax.Array:
  """Draws i.i.d. points of a mixture, [batch_size, d]."""
  key_mode, key_noise = jax.random.split(key)
  modes = jax.random.randint(key_mode, (batch_size,), 0, data.centres.shape[0])
  centres = data.centres[modes]
  return centres + data.sigma * jax.random.normal(key_noise, centres.shape)


def sample_swiss_roll(key: jax.Array, data: SwissRoll, batch_size: int) -> jax.Array:
  r"""Draws i.i.d. points of the Swiss roll, [batch_size, 2].

  x = ((t \cos t, t \sin t) + noise N(0, I)) / 7.5 with t uniform on [1.5 \pi, 4.5 \pi].
  """
  key_angle, key_noise = jax.random.split(key)
  t = 1.5 * math.pi * (1 + 2 * jax.random.uniform(key_angle, (batch_size,)))
  roll = t[:, None] * jnp.stack([jnp.cos(t), jnp.sin(t)], 1)
  return (roll + data.noise * jax.random.normal(key_noise, roll.shape)) / 7.5


def sample_two_gaussians(key: jax.Array, data: Mixture, n: int) -> Coupling:
  r"""Draws pairs of N(\mu, s^2 I) and N(-\mu, s^2 I), coupled by the shift 2 \mu.

  The potential is u(x) = -<x, \mu> / |\mu|.

  Args:
    key: used once.
    data: the real Gaussian, a mixture of one.
    n: number of pairs.

  Returns:
    The pairs; the gradient is the same everywhere.
  """
  real = sample_mixture(key, data, n)
  gradient = data.centres / jnp.linalg.norm(data.centres)
  return Coupling(real, real - 2 * data.centres, jnp.broadcast_to(gradient, real.shape))


def make_funnels(key: jax.Array, n_funnels: int, dim: int) -> Funnels:
  """Draws a potential: a_n uniform in the cube [-2.5, 2.5]^d, b_n ~ 0.1 N(0, 1).

  Raises:
    ValueError: n_funnels is below 1.

  References:
    [4], section 4.
  """
  if n_funnels < 1:
    raise ValueError(f"n_funnels must be at least 1, got {n_funnels}")
  key_centres, key_offsets = jax.random.split(key)
  return Funnels(
    jax.random.uniform(key_centres, (n_funnels, dim), minval=-_HALF_CUBE, maxval=_HALF_CUBE),
    0.1 * jax.random.normal(key_offsets, (n_funnels,)),
  )


def potential(data: Funnels, x: jax.Array) -> jax.Array:
  """Potential u(x) = min_n (|x - a_n| + b_n) at ONE point, [d] -> []; the optimal critic is -u."""
  return jnp.min(_heights(data, x))


def sample_funnels(key: jax.Array, data: Funnels, n: int) -> Coupling:
  r"""Draws y uniformly in the cube [-2.5, 2.5]^d and pulls each to its funnel's centre, giving x.

  x = a + t^8 (up - a) with t = |y - a| / |up - a|. Here a is the centre whose funnel gives u(y), up
  the first point on the ray from a through y where another funnel is lower or the cube ends.
  x and y lie on one ray of slope 1, so u(y) - u(x) = |y - x|.

  Args:
    key: used once.
    data: the potential.
    n: number of pairs.

  Returns:
    Real x, fake y and the gradient of the optimal critic -u, which points from y to a. It is zero
    if y equals a, an event of probability zero.

  References:
    [4], section 4.
  """
  shape = (n, data.centres.shape[1])
  fake = jax.random.uniform(key, shape, minval=-_HALF_CUBE, maxval=_HALF_CUBE)
  return jax.vmap(_pull, in_axes=(None, 0))(data, fake)


def true_wasserstein(toy: Toy, key: jax.Array, n: int = 2**20) -> tuple[float, float] | None:
  """True W_1 between the data and the fixed generator: E |real - fake| over an optimal coupling.

  Args:
    toy: the data set.
    key: used once.
    n: number of pairs to draw.

  Returns:
    The distance and its standard error, or None if there is no fixed generator. For two_gaussians,
    whose pairs are equally far apart, both are exact except for rounding.
  """
  if toy.sample_coupling is None:
    return None

  def lengths(key):
    pairs = toy.sample_coupling(key, toy.data, _CHUNK)
    return jnp.linalg.norm(pairs.real - pairs.fake, axis=1)

  keys = jax.random.split(key, -(-n // _CHUNK))
  drawn = np.asarray(jax.lax.map(lengths, keys), np.float64).ravel()[:n]
  return float(drawn.mean()), float(drawn.std() / math.sqrt(n))


def fixed_generator(transform) -> Network:
  """Wraps a function of latents as a generator without parameters."""

  def apply(params, batch_stats, latents, *, train):
    del params, train
    return transform(latents), batch_stats

  return Network(lambda key: ({}, {}), apply)


def _sample_pulled(key, data, batch_size):
  return sample_funnels(key, data, batch_size).real


def _heights(data, x):
  chex.assert_rank(x, 1)
  return optax.safe_norm(x[None] - data.centres, 0.0, axis=1) + data.offsets


def _pull(data, y) -> Coupling:
  active = jnp.argmin(_heights(data, y))
  a, b = data.centres[active], data.offsets[active]
  distance = jnp.linalg.norm(y - a)
  v = (y - a) / jnp.where(distance > 0, distance, 1)
  # At distance s along the ray, funnel m is lower once |w + s v| < s + c. The gap never grows with
  # s, is not negative at y, and tends to <w, v> - c: it closes once, where both sides squared are
  # equal, if that limit is negative, and else never.
  w, c = a[None] - data.centres, b - data.offsets
  slack = c - jnp.sum(w * v[None], axis=1)  # A GPU or TPU rounds a matrix product more.
  overtaken = (jnp.sum(w**2, axis=1) - c**2) / jnp.where(slack > 0, 2 * slack, 1)
  overtaken = jnp.min(jnp.where(slack > 0, overtaken, jnp.inf))
  leaving = jnp.min((_HALF_CUBE - jnp.sign(v) * a) / jnp.abs(v))  # 2.5 / 0 = infinity is meant.
  # By rounding, y may be just behind the end.
  reach = jnp.maximum(jnp.minimum(overtaken, leaving), distance)
  t = distance / jnp.where(reach > 0, reach, 1)
  # t |up - a| v = y - a, which stays exact if up is at infinity.
  return Coupling(a + t ** (_POWER - 1) * (y - a), y, -v)
