"""What devices that share a batch send each other in a step, read from the compiled program."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from experiments.host.errors import UserError
from experiments.spec.presets import COLOUR_PRESETS, PLAIN_DCGAN
from experiments.spec.settings import Settings
from experiments.speed.steps import count_flops, settings_of
from experiments.speed.turns import Measurement, MedianRange
from wgan_jax import make_training
from wgan_jax.parallel import make_mesh

_KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
_COLLECTIVE = re.compile(rf"= (.*?) ({_KINDS})(?:-start)?\(")
_ARRAY = re.compile(r"\b([a-z]+)(\d+)\[([\d,]*)\]")


class Collective(NamedTuple):
  """An operation in which all devices of a batch take part.

  Attributes:
    kind: such as "all-reduce".
    nbytes: of what it yields on each device.
    times: how often a step does it.
  """

  kind: str
  nbytes: int
  times: int


def networks() -> dict[str, Settings]:
  """The networks that are looked at, by name."""
  large = PLAIN_DCGAN | {"width": 64, "size": "128x128", "folder": "drawn", "latent_dim": 128}
  constant = {"schedule": "constant"}
  return {
    "mnist_64": settings_of("digits", **PLAIN_DCGAN | {"width": 64}),
    "cifar10_fast": settings_of("cifar10", **COLOUR_PRESETS["fast"] | constant),
    "cifar10_resnet": settings_of("cifar10", **COLOUR_PRESETS["wgan_gp_resnet"] | constant),
    "dcgan_128": settings_of("folder", **large),
  }


def measure_collectives(rounds: int) -> Measurement:
  """Counts collectives, their bytes and a step's arithmetic, of each of `networks`.

  The value is the megabytes of the first one's step.
  """
  del rounds  # Nothing is run.
  details = {}
  for name, settings in networks().items():
    found = collectives_of(settings)
    details |= {
      f"{name}_collectives": sum(each.times for each in found),
      f"{name}_kinds": ",".join(sorted({each.kind for each in found})),
      f"{name}_mb": sum(each.times * each.nbytes for each in found) / 1e6,
      f"{name}_gflop": count_flops(settings) / 1e9,
    }
  return Measurement(MedianRange.of([details["mnist_64_mb"]]), "MB a step", details)


def collectives_of(settings: Settings) -> list[Collective]:
  """Lists the collectives of a step whose batches lie on two devices.

  Raises:
    UserError: there is one device.
  """
  if jax.device_count() < 2:
    raise UserError("--rows=collectives needs two devices, such as two cores")
  mesh = make_mesh(jax.devices()[:2], 2)

  def sample_real(key, data, n):
    return jax.random.uniform(key, (n, *settings.sample_shape), minval=-1)

  training = make_training(settings.config(), settings.networks(), sample_real, mesh=mesh)
  state = jax.eval_shape(training.init, jax.random.key(0), settings.hparams())
  whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  step = jax.jit(training.step, in_shardings=whole, out_shardings=whole)
  # With a precision of their own, convolutions are computed as on an accelerator.
  with jax.default_matmul_precision("float32"):
    lowered = step.lower(state, settings.hparams(), np.zeros(()))
    # What runs fast is no subject here.
    program = lowered.compile({"xla_backend_optimization_level": 0}).as_text()
  return list(parse(program, settings.n_critic))


def parse(program: str, n_critic: int) -> Iterator[Collective]:
  """Reads the collectives from the text of a compiled step.

  Args:
    program: HLO. Its only loop is that over the critic's updates.
    n_critic: how often the loop runs.
  """
  in_loop = False
  for line in program.splitlines():
    if line and not line[0].isspace():  # A computation begins.
      in_loop = not line.startswith("ENTRY")
    if match := _COLLECTIVE.search(line):
      arrays = _ARRAY.findall(match[1])
      nbytes = sum(
        int(bits) // 8 * int(np.prod([int(n) for n in sizes.split(",") if n], dtype=np.int64))
        for _, bits, sizes in arrays
      )
      yield Collective(match[2], nbytes, n_critic if in_loop else 1)
