"""What a convolution's arrays are as matrices of columns."""

import jax
import numpy as np
import pytest
from jax import lax

from wgan_jax.networks import columns
from wgan_jax.networks.columns import Geometry

ROLES = ("images", "kernel", "outputs")

# name: (height and width, kernel, stride, low, height' and width')
GEOMETRIES = {
  "4/2": ((6, 8), (4, 4), (2, 2), (1, 1), (3, 4)),
  "3/1": ((5, 4), (3, 3), (1, 1), (1, 1), (5, 4)),
  "stride per axis": ((8, 9), (4, 3), (2, 1), (2, 0), (4, 7)),
  "cropped": ((9, 8), (4, 4), (2, 2), (-1, -3), (3, 2)),
  "tall, the last tile cut": ((34, 3), (4, 4), (2, 2), (1, 1), (17, 2)),
  "padded far": ((3, 3), (4, 4), (2, 2), (5, 4), (6, 7)),
}
RAGGED = {
  "5/2": ((6, 7), (5, 5), (2, 2), (2, 2), (3, 4)),
  "2/3": ((7, 8), (2, 2), (3, 3), (0, 1), (3, 3)),
}


def geometry_of(name):
  size, kernel, stride, low, out = (GEOMETRIES | RAGGED)[name]
  return Geometry((2, *size, 3), (*kernel, 3, 4), (2, *out, 4), stride, low)


def draw(geometry, role, seed=0):
  return np.random.default_rng(seed).normal(size=getattr(geometry, role))


def assert_from_matrix_transposes_to_matrix(way, geometry, role):
  """<to_matrix(x), y> = <x, from_matrix(y)> for every x and y."""
  with jax.enable_x64(True):
    x = draw(geometry, role)
    matrix = way.to_matrix(role, x, geometry)
    y = np.random.default_rng(1).normal(size=matrix.shape)
    array = way.from_matrix(role, y, geometry)
    assert array.shape == x.shape
    left, right = np.vdot(matrix, y), np.vdot(x, array)
    assert abs(left) > 1e-3
    np.testing.assert_allclose(left, right, rtol=1e-12)


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
