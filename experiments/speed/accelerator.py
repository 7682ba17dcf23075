"""What the rows of --preset=accelerator measure: what there is to know of a new device.

They need neither files nor the network: images are the embedded digits, and drawn arrays of the
shape of CIFAR-10. Programs of a row compile side by side before the first turn.
"""

import functools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.spec import datasets
from experiments.spec.presets import COLOUR_PRESETS, PLAIN_DCGAN
from experiments.spec.settings import Settings
from experiments.speed import processes
from experiments.speed.comparisons import TorchMissingError, pytorch_for_device
from experiments.speed.layers import LAYERS, Convolution, convolutions
from experiments.speed.programs import (
  PRECISIONS,
  compile_ways,
  matmul_precision,
  paced,
  start_state,
  trace,
)
from experiments.speed.steps import count_flops, settings_of
from experiments.speed.turns import Measurement, MedianRange, take_turns
from wgan_jax import gradient_penalty
from wgan_jax.data.images import Images
from wgan_jax.networks.dcgan import dcgan


class Size(NamedTuple):
  """How large the networks of the rows are."""

  width: int | None = None  # None: as they are.
  batch_size: int | None = None
  product: int = 8192  # Rows of the square matrices whose product gives the peak rate.
  members: int = 64
  n_torch: int = 20  # PyTorch's steps in a turn.
  layers: tuple[Convolution, ...] = LAYERS

  def of(self, dataset: str, **choices) -> Settings:
    """Settings of this size."""
    if self.width is not None:
      choices |= {"width": self.width, "batch_size": self.batch_size}
      choices |= {"generator_batch_size": 2 * self.batch_size} if dataset == "cifar10" else {}
    return settings_of(dataset, **choices)


FULL = Size()
TINY = Size(2, 4, 128, 2, 1, tuple(layer.small() for layer in LAYERS[:2]))


def mnist(size: Size) -> Settings:
  """The DCGAN on 28 x 28, width 64."""
  return size.of("digits", **PLAIN_DCGAN | {"width": 64})


def toy(size: Size) -> Settings:
  """The fully connected networks on 25 Gaussians."""
  return size.of("grid")


def cifar(preset: str, size: Size) -> Settings:
  """A preset for CIFAR-10."""
  return size.of("cifar10", **COLOUR_PRESETS[preset] | {"schedule": "constant"})  # As fast.


def rates(
  settings: Settings, rounds: int, size: Size, *, native: str | None, pytorch: bool
) -> Measurement:
  """Times a step in each precision, against PyTorch, XLA's own convolutions and the peak.

  Args:
    settings: of a run.
    rounds: how many.
    size: of the product that gives the peak rate.
    native: the precision in which it is compared with XLA's own convolutions; None: in none.
    pytorch: whether PyTorch has these networks. The value is then how many times faster a step is
      than PyTorch's fastest way, both in TF32 on a GPU; else it is the steps a second of the
      fastest precision.
  """
  dataset, state = _load(settings), start_state(settings)
  traced = {name: trace(settings, dataset, state, precision=name) for name in PRECISIONS}
  if native is not None:
    traced["native"] = trace(settings, dataset, state, precision=native, native=True)
  started = time.perf_counter()
  ways = compile_ways(traced)
  compiled = {"compile_s": time.perf_counter() - started}
  products = {f"product_{name}": _product(name, size.product) for name in PRECISIONS}
  theirs = _pytorch_ways(settings, dataset, size) if pytorch else {}
  timing = take_turns(ways | products | theirs, rounds)
  flops, details = count_flops(settings), compiled | _milliseconds(timing)
  for name in PRECISIONS:
    of_peak = timing.times_faster(name, f"product_{name}")
    details[f"{name}_share_of_peak"] = of_peak.scaled(flops / (2 * size.product**3))
    details[f"{name}_tflops"] = flops / 1e9 / timing.milliseconds()[name]
  if native is not None:
    details["against_native"] = timing.times_faster(native, "native")
  for kind in ("eager", "graph"):
    if named := [name for name in theirs if name.startswith(kind)]:
      details[f"against_{kind}"] = timing.times_faster("tf32", timing.fastest(named))
  if theirs:
    return Measurement(timing.times_faster("tf32", timing.fastest(theirs)), "x faster", details)
  fastest = timing.fastest(list(PRECISIONS))
  a_second = MedianRange.of([1 / seconds for seconds in timing.seconds[fastest]])
  return Measurement(a_second, f"steps/s in {fastest}", details)


def sweep(settings: Settings, rounds: int, size: Size) -> Measurement:
  """Times a step of one of many members, of one program, against a run alone and PyTorch's."""
  dataset, state = _load(settings), start_state(settings)
  ways = compile_ways(
    {
      "alone": trace(settings, dataset, state),
      "member": trace(settings, dataset, state, n_members=size.members),
    }
  )
  theirs = _pytorch_ways(settings, dataset, size)
  timing = take_turns(ways | theirs, rounds)
  details = _milliseconds(timing) | {"members": size.members}
  if theirs:
    details["against_pytorch"] = timing.times_faster("member", timing.fastest(theirs))
  return Measurement(timing.times_faster("member", "alone"), "x faster", details)


def penalty_value(rounds: int, size: Size) -> Measurement:
  """Compares the penalty and its gradient with those of the CPU, in each precision.

  The value is the largest relative difference in float32.
  """
  del rounds  # Numbers, no times.
  pair = dcgan((28, 28, 1), latent_dim=8, width=size.width or 64)
  key = jax.random.key(0)

  def evaluate(params, real, fake):
    def penalty(params):
      return gradient_penalty(key, functools.partial(pair.critic.apply, params), real, fake)

    return jax.value_and_grad(penalty)(params)

  shape = 2, size.batch_size or 64, 28, 28, 1
  with jax.default_device(jax.local_devices(backend="cpu")[0]), matmul_precision("float32"):
    params = jax.tree.map(lambda leaf: 2 * leaf + 0.01, pair.critic.init(key))
    real, fake = jax.random.uniform(key, shape, minval=-1)
    expected = jax.device_get(jax.jit(evaluate)(params, real, fake))
  operands = jax.device_put((params, real, fake), jax.local_devices()[0])
  details = {}
  for name, (dtype, _) in PRECISIONS.items():
    rounded = optax.tree.cast(operands, dtype)
    with matmul_precision(name):
      found = jax.device_get(jax.jit(evaluate)(*rounded))
    value, gradient = (_difference(a, b) for a, b in zip(found, expected, strict=True))
    details |= {f"{name}_value": value, f"{name}_gradient": gradient}
  worst = max(details["float32_value"], details["float32_gradient"])
  return Measurement(MedianRange.of([worst]), "relative, float32", details)


def repetition(rounds: int, size: Size) -> Measurement:
  """Runs one command twice, byte for byte or not, with deterministic operations and without."""
  del rounds
  choices = PLAIN_DCGAN | {"width": size.width or 64, "batch_size": size.batch_size or 64}
  choices |= {"steps": 40 if size == FULL else 2, "log_every": 10 if size == FULL else 1}
  flags = {"default": "", "deterministic": "--xla_gpu_deterministic_ops=true"}
  equal = processes.repeat(choices, flags)
  details = {f"{name}_equal": each for name, each in equal.items()}
  return Measurement(MedianRange.of([sum(equal.values())]), f"of {len(equal)} equal", details)


def _milliseconds(timing):
  return {f"{way}_ms": ms for way, ms in timing.milliseconds().items()}


def _load(settings):
  """Loads data as of these settings; CIFAR-10 is drawn."""
  if settings.dataset != "cifar10":
    return settings.load()
  pixels = np.random.default_rng(0).integers(0, 256, (2048, *settings.sample_shape), np.uint8)
  labels = np.zeros(len(pixels), np.int32)
  n = datasets.N_HELD_OUT
  return datasets.of_images(Images("cifar10", pixels, labels, pixels[:n], labels[:n], ()))


def _pytorch_ways(settings, dataset, size):
  """PyTorch's ways, eager and as graphs; none where it is not installed for this device."""
  try:
    pytorch, device = pytorch_for_device()
  except TorchMissingError:
    return {}
  eager = pytorch.make_ways(settings, dataset, size.n_torch, device)
  ways = {name.replace("pytorch", "eager"): way for name, way in eager.items()}
  if device == "cuda":
    graphs = pytorch.make_ways(settings, dataset, 10 * size.n_torch, device, graphs=True)
    ways |= {name.replace("pytorch", "graph"): way for name, way in graphs.items()}
  return ways


def _product(precision, side):
  """A square product in a precision, one unit."""
  dtype = PRECISIONS[precision].compute_dtype
  a, b = jax.random.normal(jax.random.key(0), (2, side, side), dtype)
  with matmul_precision(precision):
    multiply = jax.jit(jnp.matmul).lower(a, b).compile()

  def run(n):
    for _ in range(n):
      product = multiply(a, b)
    jax.block_until_ready(product)

  return paced(run)


def _difference(a, b) -> float:
  """|a - b| / |b| of all leaves together."""

  def norm(leaves: Sequence) -> float:
    return float(np.sqrt(sum(np.sum(np.square(leaf, dtype=np.float64)) for leaf in leaves)))

  pairs = list(zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
  differences = [np.asarray(x, np.float64) - np.asarray(y, np.float64) for x, y in pairs]
  return norm(differences) / norm([y for _, y in pairs])


def measures(size: Size) -> dict[str, tuple[str, Callable[[int], Measurement]]]:
  """Lists the rows of the preset: by name, the title and what measures it."""
  steps = functools.partial(rates, size=size)
  return {
    "mnist_rates": (
      "DCGAN step on 28 x 28, width 64, against PyTorch eager and graphs",
      lambda rounds: steps(mnist(size), rounds, native="tf32", pytorch=True),
    ),
    "toy_rates": (
      "step on 25 Gaussians, 3 x 64, against PyTorch eager and graphs",
      lambda rounds: steps(toy(size), rounds, native=None, pytorch=True),
    ),
    "convolutions": (
      "layers as matrix products against XLA's own convolutions",
      lambda rounds: convolutions(rounds, size.layers, min(16, size.members)),
    ),
    "toy_members": (
      f"one of {size.members} toy runs against a run alone",
      lambda rounds: sweep(toy(size), rounds, size),
    ),
    "mnist_members": (
      f"one of {size.members} DCGAN runs, width 64, against a run alone",
      lambda rounds: sweep(mnist(size), rounds, size),
    ),
    "penalty_value": (
      "penalty and its gradient against the CPU's",
      lambda rounds: penalty_value(rounds, size),
    ),
    "fast_rates": (
      "steps of --preset=fast on 32 x 32 x 3",
      lambda rounds: steps(cifar("fast", size), rounds, native="bfloat16", pytorch=False),
    ),
    "resnet_rates": (
      "steps of --preset=wgan_gp_resnet on 32 x 32 x 3",
      lambda rounds: steps(cifar("wgan_gp_resnet", size), rounds, native="tf32", pytorch=False),
    ),
    "repetition": (
      "the same command twice, byte for byte",
      lambda rounds: repetition(rounds, size),
    ),
  }
