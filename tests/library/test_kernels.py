"""Kernels of operator norm at most 1: at any scale, tight, and by their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import jit
from helpers.problems import draw

from wgan_jax import kernels
from wgan_jax.constraints import CONSTRAINTS
from wgan_jax.kernels import orthonormal
from wgan_jax.layers import Conv, Dense
from wgan_jax.operator_norm import operator_norm

MOST = 1 + 1e-5
NAMES = list(CONSTRAINTS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2, 8), (8, 8), (8, 1), (20, 6), (6, 20)])
def test_no_kernel_is_above_one_at_any_scale(name, shape):
  bound = jit(CONSTRAINTS[name].dense)
  for scale in (1e-30, 1e-3, 1.0, 1e4, 1e30):
    kernel = bound(draw(*shape, scale=scale))
    norm = operator_norm(Dense(kernel, jnp.zeros(shape[1])), shape[:1])
    assert 0.3 < norm < MOST
  zeros = operator_norm(Dense(bound(jnp.zeros(shape)), jnp.zeros(shape[1])), shape[:1])
  assert zeros == pytest.approx(float(name == "orthonormal"), abs=1e-5)
  assert jnp.isnan(bound(jnp.full(shape, jnp.nan))).any()


def test_spectral_and_orthonormal_kernels_reach_one():
  for name in ("spectral", "orthonormal"):
    values = np.linalg.svd(jit(CONSTRAINTS[name].dense)(draw(20, 6)), compute_uv=False)
    assert 0.995 < values[0] < 1
  assert values[-1] > 0.995  # All of them.


@pytest.mark.parametrize(
  "shape",
  [(12, 5), (7, 1), *(pytest.param(s, marks=pytest.mark.campaign) for s in [(5, 12), (6, 6)])],
)
def test_orthonormal_kernels_are_cayleys_transform_with_its_derivative(shape):
  """Of a skew matrix of twice the size, the whole of whose transform is inverted by NumPy."""
  kernel = draw(*shape)
  tall = np.asarray(kernel if shape[0] >= shape[1] else kernel.T, np.float64)
  with jax.enable_x64(True):

    def expected(tall):
      tall = tall / jnp.sqrt(jnp.mean(tall**2) * len(tall))
      n = tall.shape[1]
      top, below = tall[:n], tall[n:]
      skew = jnp.block([[top - top.T, -below.T], [below, jnp.zeros((len(below),) * 2)]])
      identity = jnp.eye(len(skew))
      # The Schur complement of the lower right block of I + skew is I + A.
      return ((identity - skew) @ jnp.linalg.inv(identity + skew))[:, :n]

    weights = jnp.asarray(np.random.default_rng(0).normal(size=tall.shape))
    exact = expected(jnp.asarray(tall))
    slopes = jax.grad(lambda tall: jnp.sum(weights * expected(tall)))(jnp.asarray(tall))
    exact, slopes, weights = (np.asarray(each, np.float32) for each in (exact, slopes, weights))

  def mapped(tall):
    return orthonormal(tall) if shape[0] >= shape[1] else orthonormal(tall.T).T

  tall = jnp.asarray(tall, jnp.float32)
  np.testing.assert_allclose(jit(mapped)(tall), exact, atol=2e-5)
  own = jit(jax.grad(lambda tall: jnp.sum(weights * mapped(tall))))(tall)
  np.testing.assert_allclose(own, slopes, atol=2e-4)


def test_an_inverse_that_has_not_converged_breaks_no_bound(monkeypatch):
  monkeypatch.setattr(kernels, "_N_NEWTON", 2)
  for shape in ((20, 6), (30, 30)):
    norm = operator_norm(Dense(orthonormal(draw(*shape)), jnp.zeros(shape[1])), shape[:1])
    assert 0.1 < norm < MOST


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
  "stride", [(2, 2), *(pytest.param(s, marks=pytest.mark.campaign) for s in [(1, 1), (1, 4)])]
)
@pytest.mark.parametrize("channels", [(2, 6), pytest.param((5, 4), marks=pytest.mark.campaign)])
def test_no_convolution_is_above_one_at_any_scale_and_padding(name, stride, channels):
  bound = jit(lambda kernel: CONSTRAINTS[name].conv(kernel, stride))
  for scale in (1e-30, 1.0, 1e30):
    kernel = bound(draw(2, 4, *channels, scale=scale))
    for padding in ("SAME", "VALID", ((1, 0), (-1, 2))):
      norm = operator_norm(
        Conv(kernel, jnp.zeros(channels[1]), stride, padding), (7, 8, channels[0])
      )
      assert 0.2 < norm < MOST
  assert jnp.isfinite(bound(jnp.zeros((2, 4, *channels)))).all()
  assert jnp.isnan(bound(jnp.full((2, 4, *channels), jnp.nan))).any()


@pytest.mark.parametrize("name", ["spectral", "aol"])
def test_a_stride_need_not_divide_the_kernel(name):
  kernel = CONSTRAINTS[name].conv(draw(3, 3, 2, 4), (2, 2))
  assert operator_norm(Conv(kernel, jnp.zeros(4), (2, 2), "SAME"), (6, 6, 2)) < MOST
  with pytest.raises(
    ValueError, match=r"a 3x3 kernel has no orthogonal form at a stride of \(2, 2\)"
  ):
    CONSTRAINTS["orthonormal"].conv(kernel, (2, 2))


@pytest.mark.parametrize(("sides", "stride"), [((4, 4), 2), ((3, 3), 1)])
@pytest.mark.parametrize(
  "channels", [(6, 2), *(pytest.param(c, marks=pytest.mark.campaign) for c in [(1, 6), (4, 4)])]
)
def test_orthonormal_convolutions_keep_norms(sides, stride, channels):
  """On a torus, where there is no edge: every singular value is 1, or 0 where outputs are fewer."""
  n_in, n_out = channels
  kernel = jit(lambda kernel: CONSTRAINTS["orthonormal"].conv(kernel, (stride, stride)))(
    draw(*sides, *channels)
  )

  def convolve(image):
    image = jnp.pad(image, ((0, sides[0] - stride), (0, sides[1] - stride), (0, 0)), "wrap")
    return Conv(kernel, jnp.zeros(n_out), (stride, stride), "VALID")(image)

  matrix = jax.jacobian(convolve)(jnp.zeros((8, 8, n_in)))
  matrix = np.asarray(matrix).reshape(-1, 64 * n_in)
  values = np.linalg.svd(matrix, compute_uv=False)
  assert len(values) == min(matrix.shape)
  np.testing.assert_allclose(values, 1, atol=1e-5)
  assert np.abs(np.asarray(kernel)).min() > 0  # All taps take part.
