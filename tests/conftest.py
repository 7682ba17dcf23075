"""Strict by default: shapes never broadcast by surprise, and warnings are errors (setup.cfg)."""

import os

# Two devices, so that a sharded computation can be compared with one on a single device.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
