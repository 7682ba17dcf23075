"""Arithmetic that holds at every scale: types wide enough, norms whose squares stay in range."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax


def as_float(x: jax.Array) -> jax.Array:
  """Returns integers and booleans as floats of JAX's default type, and other arrays as they are.

  Integers computed in their own type would wrap: uint8 0 - 255 is 1.
  """
  x = jnp.asarray(x)
  return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(float))


def widen(x: jax.Array) -> jax.Array:
  """Returns half-precision floats as float32, in which their sums and counts are exact enough."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def norm(x: jax.Array) -> jax.Array:
  """|x|_2 along the last axis, at every scale: no square leaves the range of the type.

  Differentiable of any order, with a zero (not NaN) gradient where the norm is zero.

  Args:
    x: floats, [..., n].

  Returns:
    The norms, [...], of the type of `x`.
  """
  wide = widen(x)
  scale = power_of_two(jnp.max(jnp.abs(jax.lax.stop_gradient(wide)), axis=-1, initial=0))
  # The gradient of a plain norm at zero is 0 / 0.
  norms = optax.safe_norm(wide * (1 / scale)[..., None], 0.0, axis=-1)
  return (scale * norms).astype(x.dtype)


def power_of_two(largest: jax.Array) -> jax.Array:
  """The power of two next below each positive number, 1 for others; scaling by it rounds nothing.

  Args:
    largest: floats of at least 32 bits, [...].

  Returns:
    The powers, [...], of the type of `largest`, none so small that its inverse is infinite, or so
    large that it is subnormal, which processors take for 0.
  """
  _, exponents = jnp.frexp(largest)
  info = jnp.finfo(largest.dtype)
  powers = jnp.ldexp(jnp.ones_like(largest), jnp.clip(exponents - 1, info.minexp, info.maxexp - 2))
  return jnp.where((largest > 0) & jnp.isfinite(largest), powers, 1)


def scale_of(*arrays: np.ndarray) -> float:
  """The power of two next below the largest entry of finite float64 arrays; 1 if all are zero."""
  largest = max(float(np.max(np.abs(array), initial=0.0)) for array in arrays)
  return 2.0 ** (math.frexp(largest)[1] - 1) if largest else 1.0
