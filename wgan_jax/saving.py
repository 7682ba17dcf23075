"""A training state as one file, for programs that have no checkpoints of their own."""

import os
import pathlib
import secrets

import chex
import jax
import jax.numpy as jnp
from flax import serialization


def save_state(path: str | os.PathLike, state: chex.ArrayTree) -> None:
  """Writes a state, or any tree of arrays, to one file: whole, or not at all.

  Args:
    path: the file. One that is there is replaced.
    state: such as a `wgan_jax.State`; PRNG keys in it are written as their numbers.

  Raises:
    OSError: it cannot be written.
  """
  path = pathlib.Path(path)
  partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
  try:
    partial.write_bytes(serialization.to_bytes(jax.device_get(without_keys(state))))
    os.replace(partial, path)
  except BaseException:
    partial.unlink(missing_ok=True)
    raise


def load_state(path: str | os.PathLike, like: chex.ArrayTree) -> chex.ArrayTree:
  """Reads what `save_state` wrote, bit for bit.

  Args:
    path: the file.
    like: a state of the same structure, or its shapes: `jax.eval_shape(init, key, hparams)`.

  Returns:
    The state.

  Raises:
    OSError: the file cannot be read.
    ValueError: it is damaged, or holds a state of another structure; names the file.
  """
  content = pathlib.Path(path).read_bytes()
  plain = jax.eval_shape(without_keys, like)
  try:
    state = serialization.from_bytes(plain, content)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, plain)
  except Exception as error:  # msgpack's reader raises nearly anything.
    raise ValueError(f"{path}: damaged, or of another structure than asked for") from error
  return with_keys(jax.tree.map(jnp.asarray, state), like)


def without_keys(tree: chex.ArrayTree) -> chex.ArrayTree:
  """Replaces PRNG keys by their numbers, as files hold plain arrays only."""
  return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, tree)


def with_keys(tree: chex.ArrayTree, like: chex.ArrayTree) -> chex.ArrayTree:
  """Makes PRNG keys again of the numbers of `without_keys`, where `like` has keys."""

  def restore(x, was):
    return jax.random.wrap_key_data(x, impl=_impl(was)) if _is_key(was) else x

  return jax.tree.map(restore, tree, like)


def _is_key(leaf: jax.Array) -> bool:
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _impl(key):
  return jax.random.key_impl(jnp.empty((), key.dtype))  # Of a shape, which has no implementation.
