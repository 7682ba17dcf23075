"""Layers that are timed: both ways compute the same, to the second order."""

import jax
import numpy as np
import pytest
from jax import lax

from experiments.speed import layers
from experiments.speed.layers import LAYERS
from experiments.speed.turns import Timing
from wgan_jax.convolution.primitive import conv_general_dilated


def test_small_layers_keep_their_geometry():
  small = LAYERS[4].small()
  assert (small.images, small.kernel, small.stride) == ((2, 32, 32, 4), (3, 3, 4, 4), 1)


@pytest.mark.parametrize("make", [layers._forward, layers._second_order])
def test_both_ways_compute_the_same(make):
  layer = LAYERS[0].small()
  images, kernel = (x[0] for x in layers._layer_arguments(layer, 1))
  ours, native = (
    jax.jit(make(convolve, layer.stride))(images, kernel)
    for convolve in (conv_general_dilated, lax.conv_general_dilated)
  )
  assert np.abs(native).max() > 0
  np.testing.assert_allclose(ours, native, rtol=1e-4, atol=1e-5 * np.abs(native).max())


def test_the_figure_is_the_median_over_layers(monkeypatch):
  seconds = iter([3.0, 5.0, 4.0, 40.0])

  def take_turns(ways, rounds):
    return Timing({}, {"products": [1.0], "native": [next(seconds)]})

  monkeypatch.setattr(layers, "take_turns", take_turns)
  monkeypatch.setattr(layers, "_loop", lambda *args: None)
  monkeypatch.setattr(layers, "compile_together", dict)
  value, _, details = layers.convolutions(1, [LAYERS[0].small()], 2)
  assert (value.low, value.median, value.high) == (3.0, 4.5, 40.0)
  assert details["mnist_0_second_2_ratio"].median == 40.0
