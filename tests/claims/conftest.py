"""Claims run here to execute their lines: how fast their programs are does not matter."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def _quick_to_compile():
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)
