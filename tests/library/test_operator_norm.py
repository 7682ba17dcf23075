"""Operator norms of layers against the singular values of dense matrices."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse.linalg
from helpers.compiling import jit

from wgan_jax import operator_norm as module
from wgan_jax.convolution.primitive import conv_general_dilated
from wgan_jax.layers import Conv, Dense
from wgan_jax.operator_norm import operator_norm

# name: (height, width, in), (kernel height, kernel width, out), stride, padding
CONVS = {
  "4/2 SAME": ((6, 6, 2), (4, 4, 3), (2, 2), "SAME"),
  "4/2 SAME, odd": ((7, 5, 1), (4, 4, 6), (2, 2), "SAME"),
  "5/2 SAME": ((6, 7, 3), (5, 5, 2), (2, 2), "SAME"),
  "3/1 SAME": ((5, 4, 3), (3, 3, 3), (1, 1), "SAME"),
  "1/2 SAME": ((5, 4, 3), (1, 1, 2), (2, 2), "SAME"),
  "5/3 VALID": ((9, 11, 1), (5, 5, 2), (3, 3), "VALID"),
  "rectangular": ((6, 5, 2), (2, 3, 4), (2, 1), "SAME"),
  "asymmetric": ((5, 6, 1), (4, 3, 2), (2, 2), ((0, 3), (2, 1))),
  "cropped": ((8, 7, 2), (3, 3, 2), (2, 2), ((-1, 2), (3, -2))),
  "reads padding only": ((2, 2, 2), (2, 2, 3), (3, 3), ((3, 3), (2, 3))),
  "kernel larger than image": ((2, 3, 2), (5, 5, 3), (1, 1), "SAME"),
  "more outputs, Lanczos": ((12, 12, 2), (4, 4, 9), (2, 2), "SAME"),
  "more inputs, Lanczos": ((14, 14, 4), (4, 4, 8), (2, 2), "SAME"),
}


def dense_matrix(layer, input_shape):
  """The layer's matrix, [out, in], by applying the networks' own convolution to the identity."""
  with jax.enable_x64(True):

    @jit
    def convolve(kernel):
      images = jnp.eye(math.prod(input_shape)).reshape(-1, *input_shape)
      return conv_general_dilated(
        images, kernel, layer.stride, layer.padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
      ).reshape(len(images), -1)

    y = convolve(jnp.asarray(layer.kernel, jnp.float64))
    assert y.dtype == jnp.float64
    return np.asarray(y).T


def random_conv(name, seed=0):
  input_shape, (height, width, out), stride, padding = CONVS[name]
  rng = np.random.default_rng(seed)
  kernel = rng.normal(size=(height, width, input_shape[-1], out)).astype(np.float32)
  return Conv(kernel, rng.normal(size=out).astype(np.float32), stride, padding), input_shape


def assert_is_norm(measured, matrix):
  exact = np.linalg.svd(np.asarray(matrix, np.float64), compute_uv=False)[0]
  assert exact <= measured <= exact * (1 + 2e-6)


@pytest.mark.parametrize("name", CONVS)
def test_convolution(name):
  layer, input_shape = random_conv(name)
  assert_is_norm(operator_norm(layer, input_shape), dense_matrix(layer, input_shape))


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (3, 7), (40, 1), (300, 280)])
def test_dense(shape):
  kernel = np.random.default_rng(0).normal(size=shape)
  assert_is_norm(operator_norm(Dense(kernel, np.zeros(shape[1])), shape[:1]), kernel)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_scales(scale):
  """Weights whose squares leave float64's range, or float32's; then none at all."""
  kernel = np.diag([3.0, 5.0, 4.0])
  norm = operator_norm(Dense(scale * kernel, np.zeros(3)), (3,))
  assert norm / scale * (1 + 1e-15) >= 5
  assert norm / scale < 5 * (1 + 2e-6)
  assert operator_norm(Dense(0 * kernel, np.ones(3)), (3,)) == 0


def test_equal_singular_values():
  """An orthogonal matrix: its Gram matrix is the identity, where the shift is near singular."""
  for n in (20, 300):
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))
    norm = operator_norm(Dense(q, np.zeros(n)), (n,))
    assert 1 <= norm < 1 + 2e-6


@pytest.mark.parametrize("name", ["4/2 SAME", "more outputs, Lanczos"])
@pytest.mark.parametrize("factor", [0.0, 0.5, 0.999])
def test_a_guess_from_below_is_raised_until_proved(monkeypatch, name, factor):
  """Lanczos converges from below. The bound does not rest on it."""
  layer, input_shape = random_conv(name)
  exact = np.linalg.norm(dense_matrix(layer, input_shape), 2)
  value = [factor * exact**2]
  monkeypatch.setattr(scipy.linalg, "eigvalsh", lambda gram: value)
  monkeypatch.setattr(scipy.sparse.linalg, "eigsh", lambda gram, *_, **__: (value, None))
  assert exact <= operator_norm(layer, input_shape) < 4 * exact


def test_the_bound_is_the_same_each_time():
  """Also where it is guessed from random numbers."""
  kernel = jax.random.normal(jax.random.key(3), (300, 280))
  layer = Dense(kernel, jnp.zeros(280))
  assert len({operator_norm(layer, (300,)) for _ in range(5)}) == 1


def test_the_smaller_gram_matrix_is_bounded(monkeypatch):
  """Its rows, and the terms of its sums, of which the allowance for rounding is made."""
  seen = []

  def record(gram, n_terms):
    seen.append((len(gram), n_terms))
    return 1e9

  monkeypatch.setattr(module, "_largest_eigenvalue_bound", record)
  for shape in [(7, 3), (3, 7)]:
    operator_norm(Dense(np.ones(shape), np.zeros(shape[1])), shape[:1])
  for name in ["4/2 SAME", "more outputs, Lanczos"]:
    operator_norm(*random_conv(name))
  # Of convolutions the last; those before it are of the norm on the plane.
  assert seen[:2] == [(3, 7), (3, 7)]
  assert (3 * 3 * 3, 16 * 2) in seen
  assert seen[-1] == (12 * 12 * 2, 16 * 9)


@pytest.mark.parametrize("name", CONVS)
def test_a_layer_too_large_is_bounded_on_the_plane(monkeypatch, name):
  layer, input_shape = random_conv(name)
  exact = np.linalg.norm(dense_matrix(layer, input_shape), 2)
  monkeypatch.setattr(module, "_MOST_ROWS", 1)
  assert exact <= operator_norm(layer, input_shape) < 2.5 * exact
  assert operator_norm(Dense(np.eye(2), np.zeros(2)), (2,)) == math.inf


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_the_bound_of_a_spectrum_holds_between_the_frequencies(degree):
  """Eigenvalues 2 + 2 cos(m w -+ a): their largest, 4, is between two that are looked at."""
  angle = math.pi / 32 * degree
  turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
  gram = np.zeros((2 * degree + 1, 1, 2, 2))
  gram[degree] = 2 * np.eye(2)
  gram[0] += turn
  gram[-1] += turn.T
  bound = module._bound_spectrum(gram)
  assert 4 <= bound < 4.2


@pytest.mark.parametrize("n_terms", [0, 10**12])
def test_the_allowance_for_rounding_is_in_the_bound(n_terms):
  """4 eps n (n + n_terms + 2) for n rows of sums of n_terms: few, or rounded by a thousandth."""
  allowance = 4 * np.finfo(np.float64).eps * 3 * (3 + n_terms + 2)
  assert allowance > 1e-3 or n_terms == 0
  bound = module._largest_eigenvalue_bound(np.eye(3), n_terms)
  # The margin of the search, and one rounding of each.
  assert bound / (1 + 1e-6) - 1 == pytest.approx(allowance, rel=1e-9, abs=5e-16)
