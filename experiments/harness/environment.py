"""What, apart from the settings and the data, may change the bits of a result."""

import os
import pathlib
import platform
import subprocess
from importlib import metadata

import jax
import jax.numpy as jnp

from experiments.harness.errors import UserError

# Those that compute, and those that make the pixels of the digits and of the pictures.
_PACKAGES = (
  "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy",
  "matplotlib", "pillow", "scikit-learn",
)  # fmt: skip


def describe_environment() -> dict:
  """Versions, device, threads, precision and commit, by name.

  Raises:
    UserError: JAX has no device of the platform that JAX_PLATFORMS asks for.
  """
  try:
    device = jax.devices()[0]
  except (AssertionError, RuntimeError) as error:
    raise UserError(
      f"JAX finds no device of JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}: unset it, or"
      " install that platform's extra"
    ) from error
  threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
  return {
    "python": platform.python_version(),
    **{name: metadata.version(name) for name in _PACKAGES},
    "platform": device.platform,
    "device": device.device_kind,
    "threads": threads,
    "dtype": str(jnp.zeros(()).dtype),
    "matmul_precision": str(jax.config.jax_default_matmul_precision or "default"),
    "xla_flags": os.environ.get("XLA_FLAGS", ""),
    "commit": _commit(),
  }


def _commit() -> str | None:
  """The commit of this clone, marked where files differ from it; None outside a repository."""
  try:
    return subprocess.run(
      ["git", "describe", "--always", "--dirty", "--abbrev=12"],
      cwd=pathlib.Path(__file__).parent,
      capture_output=True,
      text=True,
      check=True,
      timeout=10,
    ).stdout.strip()
  except (OSError, subprocess.SubprocessError):
    return None
