"""Strict by default: shapes never broadcast by surprise, and warnings are errors (setup.cfg)."""

import importlib.util
import os

# Two devices, so that a sharded computation can be compared with one on a single device.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # Workers share an accelerator.
os.environ["XLA_FLAGS"] = (
  os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
if jax.default_backend() != "cpu":  # Tolerances are those of float32.
  jax.config.update("jax_default_matmul_precision", "float32")
HAS_POT = importlib.util.find_spec("ot") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
  """Skips a test that asks for POT where it is not installed."""
  try:
    return (yield)
  except ImportError as error:
    if HAS_POT or "needs POT" not in str(error):
      raise
    pytest.skip(str(error))


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory):
  """Never the user's, and shared by all workers.

  Compiling is most of the suite's time, and many tests run one program.
  """
  folder = tmp_path_factory.getbasetemp()
  if "PYTEST_XDIST_WORKER" in os.environ:
    folder = folder.parent
  os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
  jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
  jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
