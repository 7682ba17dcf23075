"""The loss and penalty rows of the library, as measures use them."""

from typing import NamedTuple

from wgan_jax.diagnostics import generator_gradient_norms as generator_gradient_norms
from wgan_jax.losses import LOSSES
from wgan_jax.objectives import make_objectives
from wgan_jax.training import Config


class LossRow(NamedTuple):
  critic: object
  generator: object
  estimate: object
  estimate_name: str
  unit: str


def loss_rows():
  return {
    name: LossRow(
      *loss[:3],
      *(
        ("wasserstein_estimate", "units of the data, for a 1-Lipschitz critic")
        if name == "wasserstein"
        else ("jensen_shannon_estimate", "nats")
      ),
    )
    for name, loss in LOSSES.items()
  }


def loss_row(config: Config):
  return loss_rows()[config.loss]


def takes_norms(config: Config) -> bool:
  return config.penalty_fn is not None


def clips(config: Config) -> bool:
  return config.penalty == "clip"


def generator_losses():
  return list(LOSSES)


def objectives(config: Config, networks):
  return make_objectives(config.loss, config.penalty_fn, networks)
