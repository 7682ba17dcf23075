"""Layers of the networks as matrix products, against XLA's own convolutions."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.speed.programs import compile_together, paced
from experiments.speed.turns import Measurement, MedianRange, Way, take_turns
from wgan_jax.convolution.primitive import conv_general_dilated


class Convolution(NamedTuple):
  """A layer of the networks."""

  name: str
  images: tuple[int, ...]  # [batch, height, width, in].
  kernel: tuple[int, ...]  # [height, width, in, out].
  stride: int
  dtype: str = "float32"

  def small(self) -> "Convolution":
    """The same with two images and at most four channels."""
    _, *size, _ = self.images
    n_in, n_out = (min(4, n) for n in self.kernel[2:])
    return self._replace(images=(2, *size, n_in), kernel=(*self.kernel[:2], n_in, n_out))


LAYERS = (
  Convolution("mnist_0", (64, 28, 28, 1), (4, 4, 1, 64), 2),
  Convolution("mnist_1", (64, 14, 14, 64), (4, 4, 64, 128), 2),
  Convolution("dcgan32_1", (128, 16, 16, 64), (4, 4, 64, 128), 2, "bfloat16"),
  Convolution("dcgan32_2", (128, 8, 8, 128), (4, 4, 128, 256), 2, "bfloat16"),
  Convolution("resnet_32", (64, 32, 32, 128), (3, 3, 128, 128), 1),
  Convolution("resnet_32_bf16", (64, 32, 32, 128), (3, 3, 128, 128), 1, "bfloat16"),
  Convolution("resnet_8", (64, 8, 8, 128), (3, 3, 128, 128), 1),
)


def convolutions(
  rounds: int, layers: Sequence[Convolution] = LAYERS, n_members: int = 16
) -> Measurement:
  """Times layers as matrix products against XLA's own, to the second order and under `vmap`.

  The value is the median over layers of native's time over ours; the details have each.
  """
  kinds = {"products": conv_general_dilated, "native": lax.conv_general_dilated}
  programs, arguments = {}, {}
  for layer in layers:
    for order, make in (("forward", _forward), ("second", _second_order)):
      for swept in (1, n_members):
        name = f"{layer.name}_{order}_{swept}"
        arguments[name] = _layer_arguments(layer, swept)
        for kind, convolve in kinds.items():
          program = _repeated(make(convolve, layer.stride), swept)
          programs[name, kind] = jax.jit(program).lower(*arguments[name], np.int32(0))
  compiled = compile_together(programs)
  details, ratios = {}, []
  for name, operands in arguments.items():
    ways = {kind: _loop(compiled[name, kind], operands) for kind in kinds}
    timing = take_turns(ways, rounds)
    ratio = timing.times_faster("products", "native")
    details |= {f"{name}_{kind}_us": 1000 * ms for kind, ms in timing.milliseconds().items()}
    details[f"{name}_ratio"] = ratio
    ratios.append(ratio.median)
  return Measurement(
    MedianRange(min(ratios), statistics.median(ratios), max(ratios)), "x faster", details
  )


def _layer_arguments(layer, swept):
  key_images, key_kernel = jax.random.split(jax.random.key(0))
  images = jax.random.normal(key_images, (swept, *layer.images), layer.dtype)
  return images, 0.01 * jax.random.normal(key_kernel, (swept, *layer.kernel), layer.dtype)


def _convolve(convolve, images, kernel, stride):
  layout = ("NHWC", "HWIO", "NHWC")
  return convolve(images, kernel, (stride, stride), "SAME", dimension_numbers=layout)


def _forward(convolve, stride):
  return lambda images, kernel: _convolve(convolve, images, kernel, stride)


def _second_order(convolve, stride):
  """The gradient of a gradient penalty of one layer with respect to its kernel."""

  def penalty(kernel, images):
    def critic(image):
      return jnp.sum(jax.nn.leaky_relu(_convolve(convolve, image[None], kernel, stride), 0.2) ** 2)

    squares = jnp.sum(jax.vmap(jax.grad(critic))(images) ** 2, (1, 2, 3))
    return jnp.mean((jnp.sqrt(squares + 1e-6) - 1) ** 2)

  return lambda images, kernel: jax.grad(penalty)(kernel, images)


def _repeated(function, swept):
  """Repeats a layer so that each time depends on the last."""
  mapped = jax.vmap(function) if swept > 1 else function

  def run(images, kernel, n):
    if swept == 1:
      images, kernel = images[0], kernel[0]

    def body(_, kernel):
      used = jnp.sum(mapped(images, kernel)).astype(kernel.dtype)
      return kernel + jnp.asarray(1e-30, kernel.dtype) * used

    return lax.fori_loop(0, n, body, kernel)

  return run


def _loop(compiled, operands) -> Way:
  return paced(lambda n: jax.block_until_ready(compiled(*operands, np.int32(n))))
