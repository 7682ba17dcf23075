"""Convolutions as matrix products: XLA's own convolution is the reference, to the second order."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import jit
from helpers.convolving import (
  CASES,
  NHWC,
  assert_close,
  assert_every_order_equals_lax,
  assert_vmap_equals_one_at_a_time,
  make_case,
  orders,
)
from jax import lax

from wgan_jax.convolution import columns, toom_cook
from wgan_jax.convolution.primitive import choose_algorithm, conv_general_dilated, multiply

NATIVE = "stablehlo.convolution"


# Each of them differs from the others in something that the code treats apart. The rest are further
# sizes of the same.
SHORT = (
  "strided 4/2 SAME odd",
  "strided 5/2 SAME_LOWER",
  "strided 1/2 SAME",
  "strided stride per axis",
  "strided negative",
  "transposed 5/2 SAME",
  "transposed 2/3 SAME",
  "transposed stride per axis",
  "transposed asymmetric",
  "transposed negative",
)
LONG = [pytest.param(name, marks=pytest.mark.campaign) for name in CASES if name not in SHORT]


@pytest.mark.parametrize(
  "name", [*(pytest.param(name, marks=pytest.mark.device) for name in SHORT), *LONG]
)
def test_every_order_equals_lax(name):
  assert_every_order_equals_lax(*make_case(name))


@pytest.mark.device
@pytest.mark.parametrize("name", ["strided 5/2 SAME", "transposed 4/2 SAME"])
def test_every_order_equals_lax_in_float64(name):
  """Rounding hides nothing: fifteen digits, not five."""
  with jax.enable_x64(True):
    assert_every_order_equals_lax(*make_case(name, np.float64), 1e-13)


def lowered(function, *args):
  return jax.jit(function).lower(*args).as_text()


@pytest.mark.parametrize("name", CASES)
def test_a_value_is_one_matrix_product(name):
  x, k, options = make_case(name)
  value = lowered(lambda x, k: conv_general_dilated(x, k, **options), x, k)
  assert value.count("stablehlo.dot_general") == 1
  assert NATIVE not in value


LOWERED = (
  "strided 5/2 SAME",
  "strided stride per axis",
  "transposed 4/2 SAME",
)


@pytest.mark.parametrize("name", LOWERED)
def test_no_order_of_a_sweep_has_a_native_convolution(name):
  x, k, options = make_case(name)
  every_order = jax.vmap(orders(conv_general_dilated, options), (None, 0))
  assert NATIVE not in lowered(every_order, x, np.stack([k, k]))


@pytest.mark.device
@pytest.mark.parametrize("name", LOWERED)
def test_a_batch_under_vmap_is_one_larger_batch(name):
  """A critic is for one image: its products must not be batches of small ones."""
  x, k, options = make_case(name)

  def one_image(x, k):
    return conv_general_dilated(x[None], k, **options)[0]

  def every_order(convolve):
    return lowered(orders(convolve, {}), x, k)

  def shapes(text):
    return sorted(re.findall(r"stablehlo.dot_general.*: (.*)", text))

  many = every_order(jax.vmap(one_image, (0, None)))
  assert shapes(many) == shapes(every_order(lambda x, k: conv_general_dilated(x, k, **options)))


@pytest.mark.device
@pytest.mark.parametrize(
  ("dtype", "preferred"), [(np.float32, None), (jnp.bfloat16, None), (jnp.bfloat16, np.float32)]
)
def test_dtypes_and_values_are_those_of_lax(dtype, preferred):
  x, k, options = make_case("strided 4/2 SAME")
  options["preferred_element_type"] = preferred
  x, k = jnp.asarray(x, dtype), jnp.asarray(k, dtype)

  def value_and_gradients(convolve):
    def score(x, k):
      return jnp.sum(convolve(x, k, **options).astype(jnp.float32))

    return convolve(x, k, **options), jax.grad(score, (0, 1))(x, k)

  ours, theirs = (
    jit(value_and_gradients, static_argnums=0)(f)
    for f in (conv_general_dilated, lax.conv_general_dilated)
  )
  assert_close(ours, theirs, 1e-5 if dtype == np.float32 else 0.02)


def test_the_default_precision_is_that_of_the_trace():
  x, k, options = make_case("strided 4/2 SAME")

  def gradient(x, k):
    with jax.default_matmul_precision("highest"):
      return jax.grad(lambda k: jnp.sum(conv_general_dilated(x, k, **options) ** 2))(k)

  products = re.findall("stablehlo.dot_general.*", lowered(gradient, x, k))
  assert len(products) == 2
  assert all("[HIGHEST, HIGHEST]" in product for product in products)


@pytest.mark.parametrize("precision", [["highest", "default"], ("highest", "default")])
def test_a_precision_for_each_operand(precision):
  x, k, options = make_case("strided 4/2 SAME")
  options["precision"] = precision
  assert_every_order_equals_lax(x, k, options)


def test_a_precision_stays_with_its_operand_where_the_product_is_turned():
  """CPUs compute all precisions alike, so that no value shows it."""
  a, b, precision = jnp.ones((2, 5)), jnp.ones((2, 3)), ("highest", "default")
  text = lowered(lambda a, b: multiply("kernel", a, b, precision), a, b)
  (product,) = re.findall("stablehlo.dot_general.*", text)
  assert "%arg1, %arg0" in product
  assert "[DEFAULT, HIGHEST]" in product


def test_vmap_over_nothing():
  x, k, options = make_case("strided 4/2 SAME")
  convolve = functools.partial(conv_general_dilated, **options)
  out = convolve(x, k).shape
  assert jax.vmap(convolve, (0, None))(x[None][:0], k).shape == (0, *out)
  assert jax.vmap(convolve, (None, 0))(x, k[None][:0]).shape == (0, *out)


LAYER = {"x": (64, 14, 14, 64), "k": (4, 4, 64, 128), "dtype": np.float32}


@pytest.mark.parametrize(
  ("changes", "backend", "expected"),
  [
    ({}, "cpu", toom_cook),
    ({"dtype": np.float64}, "cpu", toom_cook),
    ({}, "gpu", columns),
    ({"dtype": jnp.bfloat16}, "cpu", columns),
    ({"precision": "highest"}, "cpu", columns),
    ({"x": (8, 14, 14, 64)}, "cpu", columns),  # few multiplications
    ({"k": (5, 5, 64, 128)}, "cpu", columns),  # the stride does not divide the kernel
    ({"k": (2, 2, 64, 512)}, "cpu", columns),  # a single tap
    ({"x": (64, 112, 112, 4)}, "cpu", columns),  # a small matrix
    ({"x": (1, 280, 280, 64)}, "cpu", columns),  # many tiles
  ],
)
def test_which_algorithm_is_chosen(changes, backend, expected, monkeypatch):
  layer = LAYER | changes
  (n, height, width, _), (kh, kw, _, n_out) = layer["x"], layer["k"]
  kernel = (kh, kw, layer["x"][3], n_out)
  outputs = (n, height // 2, width // 2, n_out)
  geometry = columns.Geometry(layer["x"], kernel, outputs, (2, 2), (1, 1))
  monkeypatch.setattr(jax, "default_backend", lambda: backend)
  assert choose_algorithm(geometry, layer["dtype"], layer.get("precision")) is expected


@pytest.mark.parametrize(
  ("name", "axes"), [("strided 5/2 SAME", (0, None)), ("transposed 5/2 SAME", (None, 0))]
)
def test_vmap_equals_one_at_a_time(name, axes):
  assert_vmap_equals_one_at_a_time(name, axes)


NATIVE_CASES = {
  "rhs dilation": ((2, 7, 7, 4), (3, 3, 4, 4), {"rhs_dilation": (2, 2)}),
  "feature groups": ((2, 7, 7, 4), (3, 3, 2, 4), {"feature_group_count": 2}),
  "batch groups": ((2, 7, 7, 4), (3, 3, 4, 4), {"batch_group_count": 2}),
  "dilation and stride": (
    (2, 7, 7, 4),
    (3, 3, 4, 4),
    {"lhs_dilation": (2, 2), "window_strides": (2, 2)},
  ),
  "dilation and stride on different axes": (
    (2, 7, 7, 4),
    (3, 3, 4, 4),
    {"lhs_dilation": (1, 2), "window_strides": (2, 1)},
  ),
  "NCHW, the default": ((2, 4, 7, 7), (4, 4, 3, 3), {"dimension_numbers": None}),
  "OIHW kernel": ((2, 7, 7, 4), (4, 4, 3, 3), {"dimension_numbers": ("NHWC", "OIHW", "NHWC")}),
  "one dimension": (
    (2, 7, 4),
    (3, 4, 4),
    {"window_strides": (2,), "padding": [(1, 1)], "dimension_numbers": ("NHC", "HIO", "NHC")},
  ),
}


@pytest.mark.parametrize("name", NATIVE_CASES)
def test_everything_else_is_native(name):
  x_shape, k_shape, options = NATIVE_CASES[name]
  defaults = {"window_strides": (1, 1), "padding": [(1, 1)] * 2, "dimension_numbers": NHWC}
  options = {**defaults, **options}
  rng = np.random.default_rng(0)
  x, k = (rng.normal(size=shape).astype(np.float32) for shape in (x_shape, k_shape))
  assert NATIVE in lowered(lambda x, k: conv_general_dilated(x, k, **options), x, k)
  ours, theirs = conv_general_dilated(x, k, **options), lax.conv_general_dilated(x, k, **options)
  np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
  ("x_shape", "k_shape", "padding", "lhs_dilation"),
  [
    ((2, 2, 5, 3), (3, 3, 3, 4), "VALID", None),
    ((2, 5, 5, 3), (3, 3, 3, 4), [(-2, -2), (0, 0)], None),
    ((2, 3, 3, 3), (3, 3, 3, 4), [(-2, -1), (2, 2)], (2, 2)),
    ((0, 5, 5, 3), (3, 3, 3, 4), "SAME", None),
    ((2, 5, 5, 0), (3, 3, 0, 4), "SAME", None),
    ((2, 5, 5, 3), (3, 3, 3, 0), "SAME", None),
    ((2, 0, 5, 3), (3, 3, 3, 4), [(4, 4), (0, 0)], (2, 2)),
    ((2, 3, 3, 3), (1, 1, 3, 4), [(-1, 0), (-4, 3)], None),
    ((2, 3, 3, 3), (2, 2, 3, 4), [(2, 1), (-7, 8)], (2, 2)),
  ],
)
def test_empty_and_wholly_cropped_arrays_give_what_lax_gives(
  x_shape, k_shape, padding, lhs_dilation
):
  args = (np.ones(x_shape, np.float32), np.ones(k_shape, np.float32), (1, 1), padding, lhs_dilation)
  ours = conv_general_dilated(*args, dimension_numbers=NHWC)
  theirs = lax.conv_general_dilated(*args, dimension_numbers=NHWC)
  np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize(
  ("k_shape", "options", "error"),
  [
    ((3, 3, 2, 4), {}, "feature dimension size"),
    ((3, 3, 4), {}, "ndim to be equal"),
    ((3, 3, 3, 4), {"lhs_dilation": (2, 2)}, "String padding is not implemented"),
  ],
)
def test_bad_arguments_raise_as_in_lax(k_shape, options, error):
  args = (np.ones((2, 5, 5, 3), np.float32), np.ones(k_shape, np.float32), (1, 1), "SAME")
  for convolve in (lax.conv_general_dilated, conv_general_dilated):
    with pytest.raises((TypeError, ValueError), match=error):
      convolve(*args, dimension_numbers=NHWC, **options)


@pytest.mark.parametrize("name", ["strided 4/2 SAME", "transposed 4/2 SAME"])
def test_precision_and_element_type_reach_the_product(name):
  x, k, options = make_case(name)
  x, k = jnp.asarray(x, jnp.bfloat16), jnp.asarray(k, jnp.bfloat16)
  options |= {"precision": lax.Precision.HIGHEST, "preferred_element_type": jnp.float32}
  text = lowered(lambda x, k: conv_general_dilated(x, k, **options), x, k)
  (product,) = re.findall("stablehlo.dot_general.*", text)
  assert "[HIGHEST, HIGHEST]" in product
  assert product.endswith("f32>")
  wide = lax.conv_general_dilated(x.astype(jnp.float32), k.astype(jnp.float32), **options)
  assert_close(conv_general_dilated(x, k, **options), wide)
