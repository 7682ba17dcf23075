"""Convolutional layers: those of Flax and of `jax.lax` are the reference."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import jit
from helpers.convolving import assert_close
from jax import lax

from wgan_jax.networks.convolution import conv, conv_transpose


@pytest.mark.parametrize(
  ("kernel", "stride", "padding"),
  [(4, 2, "SAME"), (5, 3, "VALID"), (3, 2, ((0, 1), (2, 0)))],
)
def test_conv_layer_equals_flax(kernel, stride, padding):
  layer = conv(4, kernel, stride, padding=padding)
  assert_layer_equals(layer, nn.Conv(4, (kernel,) * 2, stride, padding).apply)


@pytest.mark.parametrize(
  ("kernel", "stride", "padding"),
  [
    (4, 2, "SAME"),
    (5, 2, "SAME"),
    (4, 1, "SAME"),
    (2, 3, "SAME"),
    (5, 2, "VALID"),
    (2, 3, "VALID"),
  ],
)
def test_conv_transpose_layer_equals_lax_and_flax(kernel, stride, padding):
  layer = conv_transpose(4, kernel, stride, padding=padding)

  def by_lax(variables, x):
    params = variables["params"]
    y = lax.conv_transpose(x.reshape(-1, 5, 6, 3), params["kernel"], (stride,) * 2, padding)
    return (y + params["bias"].reshape(1, 1, 1, -1)).reshape(*x.shape[:-3], *y.shape[1:])

  by_flax = nn.ConvTranspose(4, (kernel,) * 2, (stride,) * 2, padding).apply
  y = assert_layer_equals(layer, by_lax, by_flax)
  assert padding != "SAME" or y.shape == (5 * stride, 6 * stride, 4)


def assert_layer_equals(layer, *references):
  """For a batch of batches and for one image."""
  rng = np.random.default_rng(1)
  x, bias = (rng.normal(size=shape).astype(np.float32) for shape in [(1, 2, 5, 6, 3), 4])
  kernel = rng.normal(size=(*layer.kernel_size, 3, 4)).astype(np.float32)
  variables = {"params": {"kernel": kernel, "bias": bias}}

  def apply_all(variables, x):
    return [[f(variables, v) for f in (layer.apply, *references)] for v in (x, x[0, 0])]

  assert "conv_general_dilated[" not in str(jax.make_jaxpr(layer.apply)(variables, x))
  for ours, *theirs in jit(apply_all)(variables, x):
    for each in theirs:
      assert_close(ours, each)
  return ours


@pytest.mark.parametrize("make", [conv, conv_transpose])
def test_layers_pass_options_to_flax(make):
  layer = make(4, 4, 2, use_bias=False, kernel_init=nn.initializers.constant(7.0))
  params = layer.init(jax.random.key(0), jnp.ones((2, 6, 6, 3)))["params"]
  assert set(params) == {"kernel"}
  np.testing.assert_array_equal(params["kernel"], np.full((4, 4, 3, 4), 7.0))
