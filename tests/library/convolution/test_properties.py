"""Convolutions of any shape: values and gradients to the second order are those of `jax.lax`.

In float64: there XLA's reference on the CPU is right. In float32, with negative padding, jax 0.10.2
gives cropped pixels a gradient.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import jit
from helpers.convolving import NHWC, orders
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from wgan_jax.convolution.primitive import conv_general_dilated

# The same examples every time; each compiles, so a failing one is not made smaller.
SETTINGS = {"deadline": None, "derandomize": True, "phases": [Phase.generate], "database": None}

axis = st.tuples(
  st.integers(1, 9),  # size
  st.integers(1, 5),  # kernel
  st.integers(1, 4),  # stride, of the convolution or of its transpose
  st.tuples(st.integers(-1, 4), st.integers(-1, 4)),  # padding
)


@st.composite
def problems(draw):
  """-> images, kernel and the remaining arguments; the output may be empty."""
  (height, width), (kh, kw), (sh, sw), (top, left) = zip(draw(axis), draw(axis), strict=True)
  transposed = draw(st.booleans())
  n, n_in, n_out = draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5)))
  options = {
    "window_strides": (1, 1) if transposed else (sh, sw),
    "lhs_dilation": (sh, sw) if transposed else (1, 1),
    "padding": (top, left),
    "dimension_numbers": NHWC,
  }
  rng = np.random.default_rng(draw(st.integers(0, 2**16)))
  x = rng.normal(size=(n, height, width, n_in))
  k = rng.normal(size=(kh, kw, n_in, n_out))
  return x, k, options


def is_plain(x, k, options):
  """Whether some image pixel reaches an output through some tap, on both axes."""
  ones = jax.lax.conv_general_dilated(jnp.ones_like(x), jnp.ones_like(k), **options)
  return ones.size > 0 and float(jnp.max(ones)) > 0


@settings(max_examples=6, **SETTINGS)
@given(problems())
def test_every_order_equals_lax_at_any_shape(problem):
  check_every_order(*problem)


@pytest.mark.campaign
@settings(max_examples=100, **SETTINGS)
@given(problems())
def test_every_order_equals_lax_at_a_hundred_shapes(problem):
  check_every_order(*problem)


@jax.enable_x64(True)
def check_every_order(x, k, options):
  try:
    plain = is_plain(x, k, options)
  except (TypeError, ValueError):  # An axis that the padding crops away: both refuse it.
    with pytest.raises((TypeError, ValueError)):
      conv_general_dilated(x, k, **options)
    return
  ours, theirs = (orders(f, options) for f in (conv_general_dilated, jax.lax.conv_general_dilated))
  ours, theirs = jit(lambda x, k: (ours(x, k), theirs(x, k)))(x, k)
  chex.assert_trees_all_equal_shapes_and_dtypes(ours, theirs)
  # Of an image that reaches no output all is zero, or there is nothing.
  assert not plain or np.abs(ours["first"][1]).max() > 0
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * max(1, np.abs(b).max(initial=0)))


@pytest.mark.campaign
@settings(max_examples=25, **SETTINGS)
@given(problems())
def test_vmapped_over_kernels_equals_one_at_a_time_at_any_shape(problem):
  with jax.enable_x64(True):
    check_vmapped(*problem)


def check_vmapped(x, k, options):
  kernels = jnp.stack([k, 2 * k - 1, -k])

  def value_and_gradient(k):
    return jax.value_and_grad(lambda k: jnp.sum(conv_general_dilated(x, k, **options) ** 2))(k)

  try:
    conv_general_dilated(x, k, **options)
  except (TypeError, ValueError):
    return
  many = jit(jax.vmap(value_and_gradient))(kernels)
  for i, kernel in enumerate(kernels):
    one = jit(value_and_gradient)(kernel)
    jax.tree.map(
      lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-10, atol=1e-10), many, one
    )
