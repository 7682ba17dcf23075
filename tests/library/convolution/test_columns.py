"""What a convolution's arrays are as matrices of columns."""

import jax
import numpy as np
import pytest
from helpers.convolving import (
  GEOMETRIES,
  RAGGED,
  ROLES,
  assert_from_matrix_transposes_to_matrix,
  draw,
  geometry_of,
)
from jax import lax

from wgan_jax.convolution import columns


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", [*GEOMETRIES, *RAGGED])
def test_from_matrix_transposes_to_matrix(name, role):
  assert_from_matrix_transposes_to_matrix(columns, geometry_of(name), role)


@pytest.mark.parametrize("name", [*GEOMETRIES, *RAGGED])
def test_the_product_of_columns_and_taps_is_the_convolution(name):
  with jax.enable_x64(True):
    geometry = geometry_of(name)
    x, k = draw(geometry, "images"), draw(geometry, "kernel", 1)
    product = columns.to_matrix("images", x, geometry) @ columns.to_matrix("kernel", k, geometry)
    high = [
      s * (o - 1) + n - low - size
      for s, o, n, low, size in zip(
        geometry.stride,
        geometry.outputs[1:3],
        geometry.kernel[:2],
        geometry.low,
        geometry.images[1:3],
        strict=True,
      )
    ]
    padding = list(zip(geometry.low, high, strict=True))
    expected = lax.conv_general_dilated(
      x, k, geometry.stride, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(
      columns.from_matrix("outputs", product, geometry), expected, atol=1e-12
    )
