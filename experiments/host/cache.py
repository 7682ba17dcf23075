"""The user's cache folder: what can be made again, kept from one run to the next."""

import io
import os
import pathlib
import tempfile

import numpy as np

from experiments.host.digest import digest_state


def user_cache_folder() -> pathlib.Path:
  """Where this project's cache is, made or not.

  In XDG_CACHE_HOME, which must be absolute to count, as its specification has it.
  """
  base = os.environ.get("XDG_CACHE_HOME", "")
  folder = pathlib.Path(base) if os.path.isabs(base) else pathlib.Path.home() / ".cache"
  return folder / "wgan_jax"


def read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  """What `write_arrays` wrote.

  Raises:
    OSError: the file cannot be read.
    Exception: of any kind, where it is damaged: a flipped bit makes zipfile raise nearly anything.
  """
  with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
    arrays = dict(file)
  if str(arrays.pop("digest")) != digest_state(arrays):
    raise ValueError("the digest does not agree with the content")
  return arrays


def write_arrays(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
  """Writes arrays with their digest, whole or not at all.

  Raises:
    OSError: the file cannot be written.
  """
  content = io.BytesIO()
  np.savez(content, digest=np.str_(digest_state(arrays)), **arrays)
  path.parent.mkdir(parents=True, exist_ok=True)
  # Each process writes a file of its own: two that shared one would rename it half-written.
  descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
  try:
    with open(descriptor, "wb") as file:
      file.write(content.getvalue())
    os.replace(partial, path)
  except BaseException:  # Ctrl-C, too, must leave nothing.
    os.unlink(partial)
    raise
