"""The row of the benchmark that takes a convolution apart: its matrix products and its copies."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from experiments.harness.benchmark_steps import SIDE, Row, settings_of
from experiments.harness.settings import Settings
from experiments.harness.timing import take_turns
from wgan_jax.networks import columns, toom_cook
from wgan_jax.networks.columns import Geometry
from wgan_jax.networks.conv import OPERANDS, multiply

_WAYS = {"columns": columns, "toom_cook": toom_cook}


def convolution_parts(settings: Settings, rounds: int) -> Row:
  """The second convolution of a DCGAN critic, taken apart in both ways.

  The value is how many times faster than by columns its outputs, its images' gradient and its
  kernel's are together by the algorithm of Toom and Cook; the details have milliseconds of each, of
  its parts, and of a square product.
  """
  n, width = settings.batch_size, settings.width
  images, kernel = (n, 14, 14, width), (4, 4, width, 2 * width)
  geometry = Geometry(images, kernel, (n, 7, 7, 2 * width), (2, 2), (1, 1))
  keys = jax.random.split(jax.random.key(0), 4)
  arrays = {
    role: jax.random.normal(key, getattr(geometry, role))
    for role, key in zip(OPERANDS, keys, strict=False)
  }
  square = jax.random.normal(keys[3], (SIDE, SIDE))
  ways = {"square_product": (jnp.matmul, square, square)}
  for name, way in _WAYS.items():
    lift, lower = (
      {role: functools.partial(f, role, geometry=geometry) for role in arrays}
      for f in (way.lift, way.lower)
    )
    lifted = {role: jax.jit(lift[role])(x) for role, x in arrays.items()}
    for role, (a, b) in OPERANDS.items():
      whole = functools.partial(_whole, role, lift[a], lift[b], lower[role])
      ways |= {
        f"{name}_{role}": (whole, arrays[a], arrays[b]),
        f"{name}_{role}_lift": (lift[role], arrays[role]),
        f"{name}_{role}_product": (functools.partial(multiply, role), lifted[a], lifted[b]),
        f"{name}_{role}_lower": (lower[role], lifted[role]),
      }
  timing = take_turns(
    {
      name: functools.partial(_block, jax.jit(function), *arguments)
      for name, (function, *arguments) in ways.items()
    },
    rounds,
    dict.fromkeys(ways, 1),
  )
  together = timing.together({name: [f"{name}_{role}" for role in OPERANDS] for name in _WAYS})
  return Row(together.times_faster("toom_cook", "columns"), "x faster", timing.milliseconds())


def _whole(role, lift_a, lift_b, lower, a, b):
  return lower(multiply(role, lift_a(a), lift_b(b)))


def _block(function, *arguments) -> None:
  jax.block_until_ready(function(*arguments))


PARTS: dict[str, Callable[[int], Row]] = {
  "parts_64": lambda rounds: convolution_parts(settings_of("digits", width=64), rounds)
}
"""By name, a function of the rounds."""
