"""The row of the benchmark that takes a convolution apart: its matrix products and its copies."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from experiments.spec.settings import Settings
from experiments.speed.steps import SIDE, Row, settings_of
from experiments.speed.turns import take_turns
from wgan_jax.convolution import columns, toom_cook
from wgan_jax.convolution.columns import Geometry
from wgan_jax.convolution.primitive import OPERANDS, multiply

_WAYS = {"columns": columns, "toom_cook": toom_cook}


def convolution_parts(settings: Settings, rounds: int) -> Row:
  """The second convolution of a DCGAN critic, taken apart in both ways.

  The value is how many times faster than by columns its outputs, its images' gradient and its
  kernel's are together by the Toom-Cook algorithm; the details have milliseconds of each, of
  its parts, and of a square product.
  """
  n, width = settings.batch_size, settings.width
  images, kernel = (n, 14, 14, width), (4, 4, width, 2 * width)
  geometry = Geometry(images, kernel, (n, 7, 7, 2 * width), (2, 2), (1, 1))
  key, *keys = jax.random.split(jax.random.key(0), 1 + len(OPERANDS))
  arrays = {
    role: jax.random.normal(key, getattr(geometry, role))
    for role, key in zip(OPERANDS, keys, strict=True)
  }
  square = jax.random.normal(key, (SIDE, SIDE))
  ways = {"square_product": (jnp.matmul, square, square)}
  for name, way in _WAYS.items():
    to_matrix, from_matrix = (
      {role: functools.partial(f, role, geometry=geometry) for role in arrays}
      for f in (way.to_matrix, way.from_matrix)
    )
    matrices = {role: jax.jit(to_matrix[role])(x) for role, x in arrays.items()}
    for role, (a, b) in OPERANDS.items():
      whole = functools.partial(_whole, role, to_matrix[a], to_matrix[b], from_matrix[role])
      ways |= {
        f"{name}_{role}": (whole, arrays[a], arrays[b]),
        f"{name}_{role}_to_matrix": (to_matrix[role], arrays[role]),
        f"{name}_{role}_product": (functools.partial(multiply, role), matrices[a], matrices[b]),
        f"{name}_{role}_from_matrix": (from_matrix[role], matrices[role]),
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


def _whole(role, a_to_matrix, b_to_matrix, from_matrix, a, b):
  return from_matrix(multiply(role, a_to_matrix(a), b_to_matrix(b)))


def _block(function, *arguments) -> None:
  jax.block_until_ready(function(*arguments))


PARTS: dict[str, Callable[[int], Row]] = {
  "parts_64": lambda rounds: convolution_parts(settings_of("digits", width=64), rounds)
}
"""By name, a function of the rounds."""
