"""What a convolution's arrays are as matrices of columns."""

import jax
import numpy as np
import pytest
from helpers.compiling import jit
from helpers.convolving import (
  GEOMETRIES,
  NHWC,
  RAGGED,
  assert_from_matrix_transposes_to_matrix,
  draw,
  geometry_of,
)
from jax import lax

from wgan_jax.convolution import columns


@pytest.mark.parametrize("name", [*GEOMETRIES, *RAGGED])
def test_from_matrix_transposes_to_matrix(name):
  assert_from_matrix_transposes_to_matrix(columns, geometry_of(name))


@pytest.mark.parametrize("name", [*GEOMETRIES, *RAGGED])
def test_the_product_of_columns_and_taps_is_the_convolution(name):
  geometry = geometry_of(name)
  sizes = (geometry.images[1:3], geometry.outputs[1:3], geometry.kernel[:2])
  padding = [
    (low, stride * (out - 1) + taps - low - size)
    for size, out, taps, stride, low in zip(*sizes, geometry.stride, geometry.low, strict=True)
  ]

  def both(x, k):
    product = columns.to_matrix("images", x, geometry) @ columns.to_matrix("kernel", k, geometry)
    theirs = lax.conv_general_dilated(x, k, geometry.stride, padding, dimension_numbers=NHWC)
    return columns.from_matrix("outputs", product, geometry), theirs

  with jax.enable_x64(True):
    ours, theirs = jit(both)(draw(geometry, "images"), draw(geometry, "kernel", 1))
  np.testing.assert_allclose(ours, theirs, atol=1e-12)
