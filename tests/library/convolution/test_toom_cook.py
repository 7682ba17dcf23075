"""Convolutions by the Toom-Cook algorithm: exact but for rounding, and that is bounded."""

import chex
import jax
import numpy as np
import pytest
from helpers.compiling import jit
from helpers.convolving import (
  GEOMETRIES,
  NHWC,
  ROLES,
  assert_every_order_equals_lax,
  assert_from_matrix_transposes_to_matrix,
  assert_vmap_equals_one_at_a_time,
  geometry_of,
  make_case,
)
from jax import lax

from wgan_jax.convolution import primitive as conv
from wgan_jax.convolution import toom_cook
from wgan_jax.convolution.columns import Geometry
from wgan_jax.convolution.primitive import conv_general_dilated

# Their strides divide their kernels.
SHORT = (
  "strided 4/2 SAME tall",
  "strided 3/1 SAME",
  "transposed 4/2 SAME",
  "transposed asymmetric",
)
LONG = (
  "strided 4/2 SAME",
  "strided 4/2 SAME odd",
  "strided 1/1 SAME",
  "transposed 4/2 SAME tall",
  "transposed 4/1 SAME",
)


@pytest.fixture
def everywhere(monkeypatch):
  """Computes every convolution by this algorithm, however small."""
  monkeypatch.setattr(conv, "choose_algorithm", lambda *_: toom_cook)


def points_of(role, geometry):
  """-> the points of each row of an array of one column and channel, [rows, points, tiles]."""
  rows = getattr(geometry, role)[0 if role == "kernel" else 1]
  units = np.eye(rows).reshape(rows, *getattr(geometry, role))
  return jax.vmap(lambda unit: toom_cook.to_matrix(role, unit, geometry)[..., 0])(units)


@pytest.mark.parametrize("n_taps", [1, 2, 3, 5])
@pytest.mark.parametrize("height", [1, 7, 13, 14])
def test_points_give_the_sums_of_products(height, n_taps):
  """Output i takes pixel j times tap k if j = i + k, whichever tile it is in, and nothing else."""
  images, kernel, outputs = (1, height + n_taps - 1, 1, 1), (n_taps, 1, 1, 1), (1, height, 1, 1)
  geometry = Geometry(images, kernel, outputs, (1, 1), (0, 0))
  with jax.enable_x64(True):
    points = jit(lambda: {role: points_of(role, geometry) for role in ROLES})()
  taken = np.einsum(
    "ipt,jpt,kp->ijk", points["outputs"], points["images"], points["kernel"][..., 0]
  )
  i, j, k = np.ogrid[:height, : images[1], :n_taps]
  np.testing.assert_allclose(taken, j == i + k, atol=1e-12)


def test_seven_rows_of_two_taps_take_eight_points():
  geometry = Geometry((64, 14, 14, 64), (4, 4, 64, 128), (64, 7, 7, 128), (2, 2), (1, 1))
  assert toom_cook.blocks_of(geometry) == (2, 2)
  assert toom_cook.tiling_of(geometry) == (7, 1)
  kernel = jax.eval_shape(
    lambda x: toom_cook.to_matrix("kernel", x, geometry),
    jax.ShapeDtypeStruct(geometry.kernel, np.float32),
  )
  chex.assert_shape(kernel, (8, 256, 256))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_from_matrix_transposes_to_matrix(name):
  assert_from_matrix_transposes_to_matrix(toom_cook, geometry_of(name))


def test_outputs_that_see_no_pixel_are_zero():
  geometry = Geometry((2, 3, 3, 3), (2, 2, 3, 4), (2, 8, 4, 4), (1, 1), (13, 1))
  matrix = toom_cook.to_matrix("images", np.ones(geometry.images, np.float32), geometry)
  assert not matrix.any()


@pytest.mark.parametrize(
  "name", [*SHORT, *(pytest.param(name, marks=pytest.mark.campaign) for name in LONG)]
)
def test_every_order_equals_lax(name, everywhere):
  """In float64, where rounding hides nothing."""
  with jax.enable_x64(True):
    assert_every_order_equals_lax(*make_case(name, np.float64), 1e-12)


@pytest.mark.parametrize(
  ("name", "axes"), [("strided 4/2 SAME", (None, 0)), ("transposed 4/2 SAME", (0, 0))]
)
def test_vmap_equals_one_at_a_time(name, axes, everywhere):
  assert_vmap_equals_one_at_a_time(name, axes)


def test_rounding_is_within_ten_times_that_of_a_plain_sum():
  """At the second layer of a critic of width 64, where this algorithm is the default."""
  rng = np.random.default_rng(0)
  x, k = rng.normal(size=(64, 14, 14, 64)), rng.normal(size=(4, 4, 64, 128))
  options = {"window_strides": (2, 2), "padding": "SAME", "dimension_numbers": NHWC}
  with jax.enable_x64(True):
    exact = np.asarray(jax.jit(lambda x, k: lax.conv_general_dilated(x, k, **options))(x, k))
  x, k = x.astype(np.float32), k.astype(np.float32)
  ours = jax.jit(lambda x, k: conv_general_dilated(x, k, **options))
  plain = jax.jit(lambda x, k: lax.conv_general_dilated(x, k, **options))
  assert ours.lower(x, k).as_text().count("stablehlo.dot_general") == 4  # To points, product, back.
  error, plain_error = (np.std(f(x, k) - exact) / np.std(exact) for f in (ours, plain))
  assert plain_error < error < 10 * plain_error
  assert error < 3e-6
