"""Digests of trees of arrays, of files, and of code."""

import ast
import functools
import hashlib
import importlib.util
import pathlib
from collections.abc import Iterable

import chex
import jax
import numpy as np

from wgan_jax.saving import without_keys


def digest_state(state: chex.ArrayTree) -> str:
  """SHA-256 of a tree of arrays: every leaf's path, type, shape and bytes."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(to_numpy(state)):
    digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}\n".encode())
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()


def digest_shapes(state: chex.ArrayTree) -> str:
  """SHA-256 of a tree's structure: every leaf's path, type and shape."""
  leaves = jax.tree_util.tree_leaves_with_path(state)
  lines = [f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}" for path, leaf in leaves]
  return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def to_numpy(state: chex.ArrayTree) -> chex.ArrayTree:
  """Copies a tree to the host, with its keys as plain arrays."""
  return jax.tree.map(np.asarray, without_keys(state))


def digest_files(paths: Iterable[pathlib.Path], folder: pathlib.Path, first: bytes = b"") -> str:
  """SHA-256 of `first`, then of the name in `folder`, size and content of each path to a file."""
  digest = hashlib.sha256(first)
  for path in sorted(paths):
    if path.is_file():
      content = path.read_bytes()
      digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
      digest.update(content)
  return digest.hexdigest()


@functools.cache
def digest_code(module: str) -> str:
  """SHA-256 of a module's source and of all that it imports from its own package, at any depth.

  The files are read at the first call. Make it when the code is imported: a file that is edited
  later is not the code that runs.

  Args:
    module: a dotted name, such as "wgan_jax.networks.classifier". Imports in its package are
      absolute.
  """
  found = {}
  _collect_sources(module, found)
  return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()


def _collect_sources(module: str, found: dict[str, str]) -> None:
  """Adds the sources of a module, and of what it imports from its package, to `found` by name."""
  if module in found:
    return
  found[module] = pathlib.Path(importlib.util.find_spec(module).origin).read_text()
  package = module.split(".")[0]
  for node in ast.walk(ast.parse(found[module])):
    if not isinstance(node, ast.Import | ast.ImportFrom):
      continue
    start = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    for name in (start + alias.name for alias in node.names):
      if name.split(".")[0] == package:
        # What is no module of its own is a name in the module, or in the package's __init__.py.
        _collect_sources(name if _is_module(name) else node.module, found)


def _is_module(name: str) -> bool:
  try:
    return importlib.util.find_spec(name) is not None
  except ModuleNotFoundError:  # The name before the last dot is a module, not a package.
    return False
