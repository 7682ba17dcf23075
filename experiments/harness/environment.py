"""What, apart from the settings and the data, may change the bits of a result."""

import contextlib
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


def use_all_cores() -> None:
  """Makes each core of the CPU a device of its own, over which members can be laid.

  Two members on a core each take less time than one after the other on both: what a member does is
  too small to be shared out. Only before JAX is first used; XLA_FLAGS decides where it tells the
  number of host devices.
  """
  if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
    return
  # Where JAX has been used in this process already, its devices stay as they are.
  with contextlib.suppress(RuntimeError):
    jax.config.update("jax_num_cpu_devices", _cores())


def _cores() -> int:
  return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


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
  return {
    "python": platform.python_version(),
    **{name: metadata.version(name) for name in _PACKAGES},
    "platform": device.platform,
    "device": device.device_kind,
    "devices": jax.local_device_count(),
    "threads": _cores(),
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
