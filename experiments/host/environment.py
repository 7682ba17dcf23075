"""The environment of a run: what besides settings and data may change the bits of a result."""

import contextlib
import errno
import os
import pathlib
import platform
import subprocess
from importlib import metadata
from typing import TypedDict

import jax
import jax.numpy as jnp

from experiments.host.cache import user_cache_folder
from experiments.host.errors import UserError

# Packages that compute, and those that make the pixels of the digits and of the pictures.
_PACKAGES = (
  "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy",
  "matplotlib", "pillow", "scikit-learn",
)  # fmt: skip


class Machine(TypedDict):
  """What a report says of a recorded environment."""

  devices: int
  device: str
  threads: int
  jax: str


def use_all_cores() -> None:
  """Makes each core of the CPU a device of its own, to spread the members of a sweep over them.

  Two members on one core each are faster than one after the other on two: their arrays are too
  small to be split. It works only before JAX is first used. A number of host devices in XLA_FLAGS
  takes precedence.
  """
  if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
    return
  # If JAX has been used in this process already, its devices stay as they are.
  with contextlib.suppress(RuntimeError):
    jax.config.update("jax_num_cpu_devices", _cores())


def _cores() -> int:
  return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def use_compilation_cache(folder: str | None) -> None:
  """Keeps compiled programs, so that the next start of the same program compiles nothing.

  A program's key covers its code, the versions and the device, so a stale program is never used. A
  folder that JAX was given otherwise (JAX_COMPILATION_CACHE_DIR) stays, unless `folder` names one.

  Args:
    folder: a path, "none" for no cache, or None for `wgan_jax/compiled` in the user's cache folder.

  Raises:
    UserError: `folder` names a folder that cannot be written.
  """
  if folder == "none":
    jax.config.update("jax_enable_compilation_cache", False)
    return
  if folder is None and _given_cache():
    return
  path = user_cache_folder() / "compiled" if folder is None else pathlib.Path(folder).expanduser()
  try:
    path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
      raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
  except OSError as error:
    if folder is None:
      return
    raise UserError(
      f"--compilation_cache={folder} cannot be written ({error.strerror}): name another folder,"
      " or none"
    ) from error
  jax.config.update("jax_compilation_cache_dir", str(path))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _given_cache() -> str | None:
  return jax.config.jax_compilation_cache_dir


def describe_environment() -> dict:
  """Records versions, device, threads, precision and commit, by name.

  Raises:
    UserError: JAX has no device of the platform that JAX_PLATFORMS names.
  """
  try:
    device = jax.devices()[0]
  except (AssertionError, RuntimeError) as error:
    raise UserError(
      f"JAX finds no device of JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}: unset it, or"
      " install that platform's extra"
    ) from error
  return {
    **versions(),
    "platform": device.platform,
    "device": device.device_kind,
    "processes": jax.process_count(),
    "devices": jax.device_count(),
    "threads": _cores(),
    "dtype": str(jnp.zeros(()).dtype),
    "matmul_precision": str(jax.config.jax_default_matmul_precision or "default"),
    "xla_flags": os.environ.get("XLA_FLAGS", ""),
    "processor": _processor(),
    "prng": jax.config.jax_default_prng_impl,
    "threefry_partitionable": getattr(jax.config, "jax_threefry_partitionable", True),
    "commit": _commit(),
  }


def versions() -> dict[str, str | None]:
  """The versions of Python and of the packages that decide the bits of a result, by name."""
  packages = {name: installed_version(name) for name in _PACKAGES}
  return {"python": platform.python_version(), **packages}


def _processor() -> str:
  """The model of the processor, on which the order of a sum may depend."""
  with contextlib.suppress(OSError):
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
      if line.startswith("model name"):
        return line.partition(":")[2].strip()
  return platform.processor() or platform.machine()


def installed_version(package: str) -> str | None:
  """The version of a package; None for one that is not installed."""
  try:
    return metadata.version(package)
  except metadata.PackageNotFoundError:
    return None


def _commit() -> str | None:
  """The commit of this clone, marked if files differ from it, or None outside a repository."""
  command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
  folder = pathlib.Path(__file__).parent
  try:
    found = subprocess.check_output(
      command, cwd=folder, text=True, stderr=subprocess.DEVNULL, timeout=10
    )
    return found.strip()
  except (OSError, subprocess.SubprocessError):
    return None
