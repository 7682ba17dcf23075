"""What the rows compare: training steps with PyTorch, native convolutions, the peak, each other."""

import dataclasses
from types import ModuleType

import jax
import jax.numpy as jnp

from experiments.spec.dataset import Dataset
from experiments.spec.settings import Settings
from experiments.speed.steps import alone, count_flops, members, native
from experiments.speed.turns import Measurement, Way, take_turns
from wgan_jax.sweep import BATCHING

COUNTS = (1, 2, 4, 8, 16, 32, 64)  # Members of the sweeps that are compared with runs alone.
_SIDE = 2048  # Rows of the square matrices whose product gives the peak rate of a CPU.


class TorchMissingError(Exception):
  """PyTorch, which a row is compared with, is not installed for this device."""


def against_pytorch(settings: Settings, rounds: int, n_steps: int) -> Measurement:
  """Times a step of one run against the faster memory layout of PyTorch."""
  theirs = _pytorch_ways(settings, n_steps)
  return _times_faster({"jax": alone(settings, settings.load(), n_steps)}, theirs, rounds)


def sweep_against_pytorch(
  settings: Settings, rounds: int, n_steps: int, n_members: int
) -> Measurement:
  """Times a step of one of many members, the faster mode, against PyTorch's runs one by one."""
  theirs = _pytorch_ways(settings, n_steps)
  return _times_faster(_modes(settings, settings.load(), n_steps, n_members), theirs, rounds)


def against_native(settings: Settings, rounds: int, n_steps: int) -> Measurement:
  """Times a step of one run against the same code on XLA's own convolutions."""
  run = settings, settings.load(), n_steps
  return _times_faster({"jax": alone(*run)}, {"native": native(*run)}, rounds)


def share_of_peak(settings: Settings, rounds: int, n_steps: int) -> Measurement:
  """Compares the rate of a step's arithmetic with that of a square matrix product."""
  side = _SIDE if jax.default_backend() == "cpu" else 4 * _SIDE
  a, b = jax.random.normal(jax.random.key(0), (2, side, side))
  product = jax.jit(jnp.matmul)
  multiply = Way(lambda: jax.block_until_ready(product(a, b)), 1)
  ours = alone(settings, settings.load(), n_steps)
  timing = take_turns({"jax": ours, "product": multiply}, rounds)
  flops = {"jax": count_flops(settings), "product": 2 * side**3}
  rates = {f"{way}_gflops": flops[way] / 1e6 / ms for way, ms in timing.milliseconds().items()}
  share = timing.times_faster("jax", "product").scaled(flops["jax"] / flops["product"])
  return Measurement(share, "of peak", rates | timing.details())


def penalty_cost(settings: Settings, rounds: int, n_steps: int) -> Measurement:
  """Compares the time that the penalty adds to steps of 20 critic updates with its arithmetic."""
  with_penalty = dataclasses.replace(settings, n_critic=20)
  without = dataclasses.replace(with_penalty, penalty="none", lambda_gp=None)
  dataset = settings.load()
  runs = {"with": with_penalty, "without": without}
  timing = take_turns({name: alone(run, dataset, n_steps) for name, run in runs.items()}, rounds)
  arithmetic = count_flops(with_penalty) / count_flops(without)
  cost = timing.times_faster("without", "with")
  details = {"time_ratio": cost.median, "arithmetic_ratio": arithmetic, **timing.details()}
  return Measurement(cost.scaled(1 / arithmetic), "x arithmetic", details)


def construction_cost(settings: Settings, rounds: int, n_steps: int, critic: str) -> Measurement:
  """Compares steps of 20 updates of a critic by construction with those of the penalty's critic."""
  penalized = dataclasses.replace(settings, n_critic=20)
  built = dataclasses.replace(penalized, penalty="none", lambda_gp=None, critic=critic)
  dataset = settings.load()
  runs = {"penalty": penalized, critic: built}
  timing = take_turns({name: alone(run, dataset, n_steps) for name, run in runs.items()}, rounds)
  return Measurement(timing.times_faster("penalty", critic), "x penalty", timing.details())


def members_against_alone(
  settings: Settings, rounds: int, n_steps: int, counts: tuple[int, ...] = COUNTS
) -> Measurement:
  """Times a step of one of many members, in each mode, against a run alone.

  The value is that of the most members in the faster mode; the details have every number of
  members and mode, as (least, median, largest).
  """
  dataset, details = settings.load(), {}
  for n in counts:
    ways = {"alone": alone(settings, dataset, n_steps)} | _modes(settings, dataset, n_steps, n)
    timing = take_turns(ways, rounds)
    ratios = {mode: timing.times_faster(mode, "alone") for mode in BATCHING}
    details |= {f"{mode}_{n}": ratio for mode, ratio in ratios.items()}
    details[f"alone_{n}_ms"] = timing.milliseconds()["alone"]
  return Measurement(max(ratios.values(), key=lambda ratio: ratio.median), "x faster", details)


def pytorch_for_device() -> tuple[ModuleType, str]:
  """Imports `experiments.speed.pytorch`; returns it and the name of JAX's device there.

  Raises:
    TorchMissingError: PyTorch is not installed, or not for that device.
  """
  try:
    import torch
  except ImportError as error:
    raise TorchMissingError(str(error)) from error
  from experiments.speed import pytorch

  device = {"cpu": "cpu", "gpu": "cuda"}.get(jax.default_backend())
  if device is None or (device == "cuda" and not torch.cuda.is_available()):
    raise TorchMissingError(f"not for {jax.default_backend()}")
  return pytorch, device


def _pytorch_ways(settings: Settings, n_steps: int) -> dict[str, Way]:
  pytorch, device = pytorch_for_device()
  return pytorch.make_ways(settings, settings.load(), n_steps, device)


def _modes(settings: Settings, dataset: Dataset, n_steps: int, n_members: int) -> dict[str, Way]:
  return {mode: members(settings, dataset, n_steps, mode, n_members) for mode in BATCHING}


def _times_faster(ours: dict[str, Way], theirs: dict[str, Way], rounds: int) -> Measurement:
  """Compares the fastest way of each side."""
  timing = take_turns(ours | theirs, rounds)
  ratio = timing.times_faster(timing.fastest(ours), timing.fastest(theirs))
  return Measurement(ratio, "x faster", timing.details())
