"""The rows of the benchmark that time training steps in this process."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from jax import lax

from experiments.engine.engine import Engine
from experiments.spec.datasets import Dataset
from experiments.spec.grid import Grid
from experiments.spec.settings import Settings
from experiments.speed.turns import Spread, Timing, take_turns
from wgan_jax.convolution import primitive as conv
from wgan_jax.sweep import BATCHING

SIDE = 2048  # Of the square matrices whose product is the peak.


class Row(NamedTuple):
  """A row of the benchmark.

  Attributes:
    value: the figure that counts.
    unit: of that figure.
    details: what it is made of, by name.
  """

  value: Spread
  unit: str
  details: dict


class TorchMissingError(Exception):
  """PyTorch, which a row is measured against, is not installed for the device."""


def against_pytorch(settings: Settings, rounds: int, n_steps: int) -> Row:
  """A step alone against the faster memory layout of PyTorch."""
  dataset = settings.load()
  theirs = _torch_ways(settings, dataset, n_steps)
  timing = _turns({"jax": _alone(settings, dataset, n_steps), **theirs}, rounds, n_steps)
  return _row(timing, "jax", timing.best(list(theirs)))


def sweep_against_pytorch(settings: Settings, rounds: int, n_steps: int, n_members: int) -> Row:
  """A step of one of many members, in the faster way, against PyTorch's runs one by one."""
  dataset = settings.load()
  theirs = _torch_ways(settings, dataset, n_steps)
  ours = {way: _members(settings, dataset, n_steps, way, n_members) for way in BATCHING}
  units = dict.fromkeys(ours, n_steps * n_members) | dict.fromkeys(theirs, n_steps)
  timing = take_turns({**ours, **theirs}, rounds, units)
  return _row(timing, timing.best(list(ours)), timing.best(list(theirs)))


def against_native(settings: Settings, rounds: int, n_steps: int) -> Row:
  """A step alone against the same code on XLA's own convolutions."""
  dataset = settings.load()
  native = _alone(settings, dataset, n_steps)

  def run_native():  # The first turn traces.
    with mock.patch.object(conv, "conv_general_dilated", lax.conv_general_dilated):
      native()

  timing = _turns(
    {"jax": _alone(settings, dataset, n_steps), "native": run_native}, rounds, n_steps
  )
  return _row(timing, "jax", "native")


def of_peak(settings: Settings, rounds: int, n_steps: int) -> Row:
  """The share of the matrix product's rate at which a step does the arithmetic that it must do."""
  dataset = settings.load()
  side = SIDE if jax.default_backend() == "cpu" else 4 * SIDE
  a, b = jax.random.normal(jax.random.key(0), (2, side, side))
  product = jax.jit(jnp.matmul)
  ways = {
    "jax": _alone(settings, dataset, n_steps),
    "product": lambda: jax.block_until_ready(product(a, b)),
  }
  timing = take_turns(ways, rounds, {"jax": n_steps, "product": 1})
  step_flops, product_flops = count_flops(settings), 2 * side**3
  rates = {
    "jax_gflops": step_flops / 1e6 / timing.milliseconds()["jax"],
    "product_gflops": product_flops / 1e6 / timing.milliseconds()["product"],
  }
  share = timing.times_faster("jax", "product").scaled(step_flops / product_flops)
  return Row(share, "of peak", rates | _details(timing))


def penalty_cost(settings: Settings, rounds: int, n_steps: int) -> Row:
  """What the penalty costs, over what its arithmetic costs; of steps of 20 critic updates."""
  with_penalty = dataclasses.replace(settings, n_critic=20)
  without = dataclasses.replace(with_penalty, penalty="none", lambda_gp=None)
  dataset = settings.load()
  timing = _turns(
    {
      "with": _alone(with_penalty, dataset, n_steps),
      "without": _alone(without, dataset, n_steps),
    },
    rounds,
    n_steps,
  )
  arithmetic = count_flops(with_penalty) / count_flops(without)
  cost = timing.times_faster("without", "with")
  details = {"time_ratio": cost.median, "arithmetic_ratio": arithmetic, **_details(timing)}
  return Row(cost.scaled(1 / arithmetic), "x arithmetic", details)


def members_against_alone(settings: Settings, rounds: int, n_steps: int, n_members: int) -> dict:
  """A step of one of many members, in each way, against a run alone: the spreads, by way."""
  dataset = settings.load()
  ways = {"alone": _alone(settings, dataset, n_steps)}
  ways |= {way: _members(settings, dataset, n_steps, way, n_members) for way in BATCHING}
  units = dict.fromkeys(BATCHING, n_steps * n_members) | {"alone": n_steps}
  timing = take_turns(ways, rounds, units)
  return {way: list(timing.times_faster(way, "alone")) for way in BATCHING} | {
    "alone_ms": timing.milliseconds()["alone"]
  }


def count_flops(settings: Settings) -> int:
  """What a step must multiply and add, of a DCGAN or of fully connected networks on points.

  With F_c and F_g for a batch's forward passes, a critic update takes 6 F_c + F_g (real and fake
  forward and backward), with the penalty 4 F_c more (x_hat forward, its gradient, and that one's
  two), a generator's 2 F_c + 3 F_g.
  """
  width, n = settings.width, settings.batch_size
  if settings.architecture == "dcgan":
    last = 7 * 7 * 2 * width
    middle = 7 * 7 * 16 * width * 2 * width
    critic = 2 * n * (14 * 14 * 16 * width + middle + last)
    generator = 2 * n * (settings.latent_dim * last + middle + 14 * 14 * 16 * width)
  else:
    hidden = (settings.depth - 1) * width**2
    critic = 2 * n * (2 * width + hidden + width)
    generator = 2 * n * (settings.latent_dim * width + hidden + 2 * width)
  update = (10 if settings.lambda_gp is not None else 6) * critic + generator
  return settings.n_critic * update + 2 * critic + 3 * generator


def settings_of(dataset: str, **choices) -> Settings:
  """The settings of the penalty's run on a data set."""
  choices = {"loss": "wasserstein", "penalty": "gp"} | choices
  (settings,) = Grid(dataset, {name: (value,) for name, value in choices.items()}).settings([0])
  return settings


def _alone(settings: Settings, dataset: Dataset, n_steps: int) -> Callable[[], None]:
  return _advance(Engine([settings], dataset, n_steps), n_steps)


def _members(settings, dataset, n_steps, way, n_members) -> Callable[[], None]:
  return _advance(Engine([settings] * n_members, dataset, n_steps, way), n_steps)


def _advance(program: Engine, n_steps: int) -> Callable[[], None]:
  """Each call does so many steps more, and waits for them."""
  state = program.init()

  def run():
    nonlocal state
    state, _ = program.chunk(state, n_steps)
    jax.block_until_ready(state)

  return run


def _torch_ways(settings, dataset, n_steps) -> dict[str, Callable[[], None]]:
  """PyTorch's step, in each memory layout of images."""
  try:
    import torch

    from experiments.speed import pytorch
  except ImportError as error:
    raise TorchMissingError(str(error)) from error
  device = {"cpu": "cpu", "gpu": "cuda"}.get(jax.default_backend())
  if device is None or (device == "cuda" and not torch.cuda.is_available()):
    raise TorchMissingError(f"not for {jax.default_backend()}")
  if device == "cuda" and jax.config.jax_default_matmul_precision is None:
    torch.set_float32_matmul_precision("high")  # TF32, as JAX there.
  n, latent_dim = settings.batch_size, settings.latent_dim

  def way(critic, generator, sample_real):
    step = pytorch.make_step(
      critic,
      generator,
      sample_real,
      latent_dim=latent_dim,
      batch_size=n,
      n_critic=settings.n_critic,
      hparams=jax.tree.map(float, settings.hparams()),
    )

    def run():
      for _ in range(n_steps):
        step()
      if device == "cuda":
        torch.cuda.synchronize()

    return run

  if settings.architecture == "mlp":
    sizes = [settings.width] * settings.depth
    sample = jax.jit(dataset.sample_real, static_argnums=2)(jax.random.key(0), dataset.train, 65536)
    points = torch.tensor(jax.device_get(sample), device=device)
    critic = pytorch.MLP([2, *sizes, 1], critic=True).to(device)
    generator = pytorch.MLP([latent_dim, *sizes, 2], critic=False).to(device)
    return {
      "pytorch": way(
        critic, generator, lambda: points[torch.randint(len(points), (n,), device=device)]
      )
    }
  return {
    f"pytorch_{layout}": way(
      *(
        network.to(device, memory_format=memory_format)
        for network in (
          pytorch.DCGANCritic(dataset.sample_shape, settings.width),
          pytorch.DCGANGenerator(dataset.sample_shape, latent_dim, settings.width),
        )
      ),
      pytorch.image_sampler(dataset.train, n, layout, device),
    )
    for layout, memory_format in pytorch.LAYOUTS.items()
  }


def _turns(ways, rounds, n_steps) -> Timing:
  return take_turns(ways, rounds, dict.fromkeys(ways, n_steps))


def _row(timing: Timing, ours: str, theirs: str) -> Row:
  return Row(timing.times_faster(ours, theirs), "x faster", _details(timing))


def _details(timing: Timing) -> dict:
  return {
    **{f"{way}_ms": ms for way, ms in timing.milliseconds().items()},
    **{f"{way}_first_turn_s": seconds for way, seconds in timing.first.items()},
  }


STEPS: dict[str, Callable[[int], Row]] = {
  "mnist_64": lambda rounds: against_pytorch(settings_of("digits", width=64), rounds, 2),
  "mnist_32": lambda rounds: against_pytorch(settings_of("digits", width=32), rounds, 5),
  "native_64": lambda rounds: against_native(settings_of("digits", width=64), rounds, 1),
  "peak_64": lambda rounds: of_peak(settings_of("digits", width=64), rounds, 2),
  "penalty_64": lambda rounds: penalty_cost(settings_of("digits", width=64), rounds, 1),
  "toy_64": lambda rounds: against_pytorch(settings_of("grid", width=64), rounds, 100),
  "toy_512": lambda rounds: against_pytorch(settings_of("grid", width=512), rounds, 10),
  "toy_sweep": lambda rounds: sweep_against_pytorch(settings_of("grid", width=64), rounds, 20, 32),
  "mnist_sweep": lambda rounds: sweep_against_pytorch(
    settings_of("digits", width=64), rounds, 2, 64
  ),
}
"""By name, a function of the rounds; all of one MNIST or toy run, or many, as the name says."""
