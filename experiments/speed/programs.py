"""Programs of training steps, compiled side by side and paced, for devices that compile slowly."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.spec.dataset import Dataset
from experiments.spec.settings import Settings
from experiments.speed.steps import native_convolutions
from experiments.speed.turns import Way
from wgan_jax import Members, make_sweep, make_training

CAPACITY = 2000  # The most steps of one call.
_SECONDS = 0.1  # Of a turn: a device's clock and its queue are small against it.


class Precision(NamedTuple):
  """How networks compute: the type of their arrays, and the precision of its products."""

  compute_dtype: str
  matmul: str | None  # JAX's `default_matmul_precision`; None for the device's own.


PRECISIONS = {
  "float32": Precision("float32", "float32"),
  "tf32": Precision("float32", None),  # What a GPU does with float32 unless told.
  "bfloat16": Precision("bfloat16", None),
}
"""By name; on a CPU the first two are one."""


class Traced(NamedTuple):
  """A program that is yet to be compiled, and the arguments that it is called with."""

  lowered: jax.stages.Lowered
  members: Members
  hparams: Any
  data: Any
  n_members: int

  def way(self, compiled: Callable) -> Way:
    """Makes a way of it; its unit is one step of one member."""
    members = self.members

    def advance(n_steps):
      nonlocal members
      members, _ = jax.block_until_ready(
        compiled(members, self.hparams, self.data, np.int32(n_steps))
      )

    return paced(advance, units=self.n_members)


def start_state(settings: Settings) -> Any:
  """Makes a state to start from, on the host, where its program compiles fastest."""
  training = make_training(settings.config(), settings.networks(), lambda key, data, n: None)
  with on_host():
    return jax.jit(training.init)(jax.random.key(settings.seed), settings.hparams())


def on_host() -> contextlib.AbstractContextManager:
  """Gives a context in which JAX computes on the CPU."""
  return jax.default_device(jax.local_devices(backend="cpu")[0])


def trace(
  settings: Settings,
  dataset: Dataset,
  state: Any,
  *,
  precision: str = "tf32",
  n_members: int = 1,
  native: bool = False,
) -> Traced:
  """Traces many steps of equal members, as the launchers train them.

  Args:
    settings: of the members.
    dataset: their data.
    state: of `start_state`; the members all have it.
    precision: a key of `PRECISIONS`.
    n_members: one is a run alone; more are batched by `vmap`.
    native: whether the convolutions are XLA's own.
  """
  chosen = PRECISIONS[precision]
  settings = dataclasses.replace(settings, compute_dtype=chosen.compute_dtype)
  training = make_training(settings.config(), settings.networks(), dataset.sample_real)
  batching = "map" if n_members == 1 else "vmap"
  sweep = make_sweep(training, CAPACITY, batching=batching)
  with on_host():
    states, hparams = jax.tree.map(
      lambda leaf: jax.numpy.stack([leaf] * n_members), (state, settings.hparams())
    )
  arguments = jax.device_put(
    (Members(states, np.ones(n_members, bool)), hparams, dataset.train), jax.local_devices()[0]
  )
  with matmul_precision(precision), native_convolutions() if native else contextlib.nullcontext():
    lowered = jax.jit(sweep.chunk).lower(*arguments, np.int32(0))
  return Traced(lowered, *arguments, n_members)


def matmul_precision(precision: str) -> contextlib.AbstractContextManager:
  """Gives a context in which products have the precision of this name."""
  return jax.default_matmul_precision(PRECISIONS[precision].matmul)


def compile_ways(traced: Mapping[str, Traced]) -> dict[str, Way]:
  """Compiles programs side by side; returns their ways by the same names."""
  compiled = compile_together({name: each.lowered for name, each in traced.items()})
  return {name: each.way(compiled[name]) for name, each in traced.items()}


def compile_together(lowered: Mapping[str, jax.stages.Lowered]) -> dict[str, Callable]:
  """Compiles programs in threads, as many at once as there are cores."""
  with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
    return dict(zip(lowered, pool.map(lambda each: each.compile(), lowered.values()), strict=True))


def paced(advance: Callable[[int], None], units: int = 1) -> Way:
  """Makes a way whose turns last a tenth of a second, however fast the device is.

  Args:
    advance: does so many steps, up to `CAPACITY`, and returns when they are done.
    units: how many units one step is.
  """
  advance(1)
  n_steps = 1
  while True:
    started = time.perf_counter()
    advance(n_steps)
    seconds = time.perf_counter() - started
    if seconds > _SECONDS / 4 or n_steps == CAPACITY:
      break
    n_steps = min(4 * n_steps, CAPACITY)
  n_steps = min(CAPACITY, max(1, round(n_steps * _SECONDS / seconds)))
  return Way(lambda: advance(n_steps), n_steps * units)
