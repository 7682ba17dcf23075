"""What a training is made of: `Config`, which changes the program, and `Hparams`, numbers alone."""

import dataclasses
from typing import NamedTuple

import chex

from wgan_jax.losses import LOSSES, Loss
from wgan_jax.memory import check_parts
from wgan_jax.optimizers import (
  OPTIMIZERS,
  SCHEDULES,
  Optimizer,
  OptimizerFn,
  ScheduleFn,
  check_optimizer,
)
from wgan_jax.penalties import PENALTIES, Penalty, check_penalty
from wgan_jax.precision import COMPUTE_DTYPES


class Hparams(NamedTuple):
  """What changes only numbers: scalars, traced under `jit`, a batch of them under `vmap`.

  Attributes:
    learning_rate: step size of both networks' optimisers.
    beta1: Adam's decay of the mean gradient; RMSProp has none.
    beta2: decay of the mean squared gradient, Adam's and RMSProp's.
    lambda_gp: the weight of the penalty, 10 as in WGAN-GP (Gulrajani et al., 2017, section 4);
      gamma for R1 and R2. Unused without a penalty.
    clip_value: c of weight clipping, unused without it.
    decay_steps: steps over which the learning rates fall to zero, by `Config.schedule`; 0 for
      constant ones.
    critic_learning_rate: that of the critic's optimiser, if it is another than `learning_rate`
      (Heusel et al., 2017, arXiv 1706.08500, section 2).
    ema_half_life: images that a moving average of the generator takes to halve the weight of what
      came before (Yazici et al., 2018, arXiv 1806.04498, section 3, in images as by Karras et al.,
      2018, arXiv 1710.10196); 0: the average is the generator itself.
  """

  learning_rate: chex.Numeric = 2e-4
  beta1: chex.Numeric = 0.5
  beta2: chex.Numeric = 0.9
  lambda_gp: chex.Numeric = 10.0
  clip_value: chex.Numeric = 0.01
  decay_steps: chex.Numeric = 0.0
  critic_learning_rate: chex.Numeric | None = None
  ema_half_life: chex.Numeric = 0.0


@dataclasses.dataclass(frozen=True)
class Config:
  """What changes the program: static under `jit`, hashable.

  A loss, a penalty or an optimiser is a name or a row of your own.

  Attributes:
    loss: a key of `LOSSES`, or a `Loss`.
    penalty: a key of `PENALTIES`, or a `Penalty`.
    optimizer: for both networks, a key of `OPTIMIZERS`, an `Optimizer`, or a function
      (learning_rate, hparams) -> optax.GradientTransformation.
    schedule: of the learning rates over `Hparams.decay_steps`, a key of `SCHEDULES`, or a function
      of the share that is done, in [0, 1], that returns their factor.
    n_critic: critic updates per generator update.
    batch_size: samples per update, of each network.
    generator_batch_size: samples per update of the generator, if they are others.
    fixed_generator: leave the generator's parameters as they are, so that the critic nears its
      optimum.
    compute_dtype: in which the networks compute, one of `COMPUTE_DTYPES`, and to which samples and
      scores are rounded; parameters, gradients, their norms and moments stay in float32.
    unroll: critic updates that the compiler sees together, as of `jax.lax.scan`. It changes speed
      and rounding only: what does not depend on the critic, such as the next update's samples, then
      runs beside it, which pays where arrays are neither tiny nor large.
    micro_batches: parts in which a batch goes through the networks, one after another, for less
      memory and a third more arithmetic. Draws, losses, penalties and gradients are those of the
      whole batch, but for rounding; batch normalisation sees one part. See `wgan_jax.memory`.
    rematerialize: compute each pass through a network again for its derivatives, for less memory
      and a third more arithmetic; the numbers are the same but for rounding. Parts do so anyway. On
      a CPU the compiler has to be told: see `wgan_jax.memory`.

  Raises:
    ValueError: a value is unknown or unusable; names the field.
  """

  loss: str | Loss = "wasserstein"
  penalty: str | Penalty = "gp"
  optimizer: str | Optimizer | OptimizerFn = "adam"
  schedule: str | ScheduleFn = "linear"
  n_critic: int = 5
  batch_size: int = 64
  generator_batch_size: int | None = None
  fixed_generator: bool = False
  compute_dtype: str = "float32"
  unroll: int = 1
  micro_batches: int = 1
  rematerialize: bool = False

  def __post_init__(self):
    _check_row("loss", self.loss, LOSSES, Loss)
    _check_row("penalty", self.penalty, PENALTIES, Penalty)
    if not callable(self.optimizer):
      _check_row("optimizer", self.optimizer, OPTIMIZERS, Optimizer)
    check_penalty(self.penalty_row)
    if not isinstance(self.optimizer, str):
      check_optimizer(self.optimizer_row, Hparams())
    if self.schedule not in SCHEDULES and not callable(self.schedule):
      raise ValueError(
        f"Config.schedule must be a function or one of {', '.join(SCHEDULES)},"
        f" got {self.schedule!r}"
      )
    if self.compute_dtype not in COMPUTE_DTYPES:
      raise ValueError(
        f"Config.compute_dtype must be one of {', '.join(COMPUTE_DTYPES)},"
        f" got {self.compute_dtype!r}"
      )
    for name in ("n_critic", "batch_size", "generator_batch_size", "unroll", "micro_batches"):
      value = getattr(self, name)
      if value is not None and value < 1:
        raise ValueError(f"Config.{name} must be at least 1, got {value}")
    for name in ("batch_size", "generator_batch_size"):
      check_parts(getattr(self, name) or self.batch_size, self.micro_batches, name)
    if self.rematerialize and self.micro_batches > 1:
      raise ValueError("Config.rematerialize does nothing with micro_batches, which do it anyway")

  @property
  def loss_row(self) -> Loss:
    """The loss, looked up if it was given by name."""
    return LOSSES[self.loss] if isinstance(self.loss, str) else self.loss

  @property
  def penalty_row(self) -> Penalty:
    """The penalty, looked up if it was given by name."""
    return PENALTIES[self.penalty] if isinstance(self.penalty, str) else self.penalty

  @property
  def optimizer_row(self) -> Optimizer:
    """The optimiser, looked up if it was given by name; without defaults if by a function."""
    if isinstance(self.optimizer, str):
      return OPTIMIZERS[self.optimizer]
    return self.optimizer if isinstance(self.optimizer, Optimizer) else Optimizer(self.optimizer)


def _check_row(field: str, value, rows: dict, row_type: type) -> None:
  """Refuses what is neither a known name nor a row, which a plain tuple is not."""
  if isinstance(value, row_type) or (isinstance(value, str) and value in rows):
    return
  raise ValueError(
    f"Config.{field} must be one of {', '.join(rows)} or a wgan_jax.{row_type.__name__},"
    f" got {value!r}"
  )
