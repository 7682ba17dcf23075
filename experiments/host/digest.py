"""Digests of trees of arrays, and of code."""

import ast
import functools
import hashlib
import importlib.util
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np


def digest_state(state: chex.ArrayTree) -> str:
  """SHA-256 of every leaf's place, type, shape and bytes."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(to_numpy(state)):
    digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}\n".encode())
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()


def to_numpy(state):
  return jax.tree.map(np.asarray, without_keys(state))


def without_keys(state):
  """Keys as the arrays that they are made of: orbax knows no others."""
  return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, state)


def is_key(leaf) -> bool:
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


@functools.cache
def digest_code(module: str) -> str:
  """SHA-256 of a module's source and of all that it imports of its own package, at any depth.

  Read from the files as they are at the first call, which should come with the import of the code:
  a file that is edited later is not the code that runs.

  Args:
    module: a dotted name, such as "wgan_jax.networks.classifier".
  """
  found = {}
  _collect_sources(module, found)
  return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()


def _collect_sources(module: str, found: dict[str, str]) -> None:
  """Adds a module and what it imports of its package to the sources that were `found`, by name."""
  spec = importlib.util.find_spec(module)
  # A package's __init__.py hands names on; the modules that they come from are named, too.
  if module in found or spec.submodule_search_locations is not None:
    return
  found[module] = pathlib.Path(spec.origin).read_text()
  for node in ast.walk(ast.parse(found[module])):
    if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == module.split(".")[0]:
      _collect_sources(node.module, found)
      for alias in node.names:
        if (name := f"{node.module}.{alias.name}") not in found and _is_module(name):
          _collect_sources(name, found)


def _is_module(name: str) -> bool:
  package = importlib.util.find_spec(name.rpartition(".")[0])
  return (
    package.submodule_search_locations is not None and importlib.util.find_spec(name) is not None
  )
