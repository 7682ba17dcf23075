"""The row of the benchmark that takes a convolution apart: its matrix products and its copies."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from experiments.harness.benchmark_steps import SIDE, Row, settings_of
from experiments.harness.settings import Settings
from experiments.harness.timing import take_turns


def convolution_parts(settings: Settings, rounds: int) -> Row:
  """What the second convolution of a DCGAN critic is made of: its products, and the copies.

  The value is the rate of the weight gradient as it is written, against that of a square product;
  the details have milliseconds of each part.
  """
  n, width = settings.batch_size * 49, settings.width
  keys = jax.random.split(jax.random.key(0), 4)
  shapes = [(n, 16 * width), (16 * width, 2 * width), (n, 2 * width), (SIDE, SIDE)]
  columns, kernel, out, square = map(jax.random.normal, keys, shapes)
  images = columns[:, : 4 * width].reshape(settings.batch_size, 14, 14, width)

  def gather(x):
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))).reshape(-1, 8, 2, 8, 2, width)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return jnp.concatenate(
      [x[:, a : a + 7, b : b + 7].reshape(n, -1) for a in (0, 1) for b in (0, 1)], axis=1
    )

  parts = {
    "forward": (jnp.matmul, columns, kernel),
    "input_gradient": (lambda g, k: g @ k.T, out, kernel),
    "weight_gradient_plain": (lambda x, g: x.T @ g, columns, out),
    "weight_gradient": (lambda x, g: g.T @ x, columns, out),
    "columns": (gather, images),
    "columns_transposed": (lambda g: jax.linear_transpose(gather, images)(g), columns),
    "square_product": (jnp.matmul, square, square),
  }
  ways = {
    name: functools.partial(_block, jax.jit(function), *arguments)
    for name, (function, *arguments) in parts.items()
  }
  timing = take_turns(ways, rounds, dict.fromkeys(ways, 1))
  flops = 2 * n * 16 * width * 2 * width
  share = timing.times_faster("weight_gradient", "square_product").scaled(flops / (2 * SIDE**3))
  return Row(share, "of peak", timing.milliseconds())


def _block(function, *arguments) -> None:
  jax.block_until_ready(function(*arguments))


PARTS: dict[str, Callable[[int], Row]] = {
  "parts_64": lambda rounds: convolution_parts(settings_of("digits", width=64), rounds)
}
"""By name, a function of the rounds."""
