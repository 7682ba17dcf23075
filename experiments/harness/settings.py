"""What decides a run's result: the settings, and the defaults that depend on the method."""

import dataclasses

import jax.numpy as jnp

from wgan_jax.networks import dcgan, mlp
from wgan_jax.training import Config, Hparams
from wgan_jax.types import Pair

ARCHITECTURES = ("dcgan", "mlp")
_WIDTHS = {"dcgan": 32, "mlp": 256}
_COMMON = ("architecture", "width", "latent_dim", "batch_size")


@dataclasses.dataclass(frozen=True)
class Settings:
  """All that changes the result of a run, apart from its length, named as the launchers' flags.

  None stands for what the method does not have, such as the clip value of a gradient penalty.
  """

  dataset: str
  loss: str
  penalty: str
  seed: int
  architecture: str
  width: int
  latent_dim: int
  batch_size: int
  n_critic: int
  optimizer: str
  learning_rate: float
  beta1: float | None
  beta2: float
  lambda_gp: float | None
  clip_value: float | None

  def __post_init__(self):
    for field in dataclasses.fields(self):
      if not isinstance(getattr(self, field.name), field.type):
        raise TypeError(f"{field.name} is {getattr(self, field.name)!r}")
    if self.architecture not in ARCHITECTURES:
      raise ValueError(f"architecture is {self.architecture!r}")
    self.config()  # Refuses what it does not know.

  def config(self) -> Config:
    """The static part."""
    return Config(self.loss, self.penalty, self.optimizer, self.n_critic, self.batch_size)

  def hparams(self) -> Hparams:
    """The traced part, as arrays; what the method does not have is 0, and nothing reads it."""
    values = [getattr(self, name) or 0.0 for name in Hparams._fields]
    return Hparams(*(jnp.float32(value) for value in values))

  def networks(self, image_shape: tuple[int, int, int]) -> Pair:
    """The critic and the generator."""
    if self.architecture == "dcgan":
      return dcgan(image_shape, latent_dim=self.latent_dim, width=self.width)
    return mlp(image_shape, latent_dim=self.latent_dim, width=self.width, output=jnp.tanh)

  def run_name(self) -> str:
    """The run folder's name: what one asks for first, then every setting that is no default."""
    defaults = method_defaults(self.loss, self.penalty, self.optimizer, self.architecture)
    defaults |= {
      "architecture": "dcgan",
      "optimizer": method_defaults(self.loss, self.penalty)["optimizer"],
    }
    first = f"{self.dataset}-{self.loss}-{self.penalty}-seed{self.seed}"
    rest = [
      f"{name}{getattr(self, name):.12g}" if name in _NUMBERS else f"{name}_{getattr(self, name)}"
      for name, default in defaults.items()
      if getattr(self, name) not in (None, default)
    ]
    return "-".join([first, *rest])

  def program_name(self) -> str:
    """The same for all settings of one compiled program."""
    values = {name: getattr(self, name) for name in STATIC}
    return "-".join(f"{k}{v}" if k in _NUMBERS else v for k, v in values.items())

  def notes(self) -> list[str]:
    """One line for each choice that a paper advises against."""
    notes = []
    if self.loss == "wasserstein" and self.penalty == "none":
      notes.append(
        "nothing keeps the critic Lipschitz: its estimate is of no distance and may grow without"
        " bound (Arjovsky et al., 2017, section 3)"
      )
    if self.penalty == "clip" and self.beta1:
      notes.append(
        "a critic under clipping can become unstable with momentum; the paper uses RMSProp"
        " (Arjovsky et al., 2017, section 4)"
      )
    if self.loss == "minimax":
      notes.append(
        "the minimax loss saturates where the discriminator is sure; its authors train with the"
        " non-saturating one (Goodfellow et al., 2014, section 3)"
      )
    return notes


# What changes the program; the rest changes only numbers, and the seed the draws.
STATIC = tuple(
  f.name for f in dataclasses.fields(Settings) if f.name not in (*Hparams._fields, "seed")
)
_NUMBERS = {f.name for f in dataclasses.fields(Settings) if f.type is not str}


def method_defaults(
  loss: str, penalty: str, optimizer: str | None = None, architecture: str = "dcgan"
) -> dict:
  """The defaults of everything but the data set and the seed, for a method.

  Args:
    loss: a key of `wgan_jax.losses.LOSSES`.
    penalty: a key of `wgan_jax.penalties.PENALTIES`.
    optimizer: the user's choice, or None for the method's.
    architecture: one of `ARCHITECTURES`.

  Returns:
    Values by flag name; None where the method has no such thing.
  """
  wasserstein = loss == "wasserstein" and penalty != "none"
  penalised = penalty in ("gp", "gp_one_sided")
  if optimizer is None:
    optimizer = "rmsprop" if wasserstein and penalty == "clip" else "adam"
  adam = optimizer == "adam"
  return {
    "architecture": architecture,
    "width": _WIDTHS[architecture],
    "latent_dim": 64,
    "batch_size": 64,
    "n_critic": 5 if wasserstein else 1,
    "optimizer": optimizer,
    "learning_rate": 2e-4 if adam else 5e-5,
    "beta1": 0.5 if adam else None,
    "beta2": (0.9 if wasserstein and penalised else 0.999) if adam else 0.99,
    "lambda_gp": 10.0 if penalised else None,
    "clip_value": 0.01 if penalty == "clip" else None,
  }


def methods_table() -> str:
  """What `--help` tells of the defaults."""
  lines = ["Defaults that depend on the method:"]
  for title, loss, penalty in [
    ("wasserstein + gp, gp_one_sided", "wasserstein", "gp"),
    ("wasserstein + clip", "wasserstein", "clip"),
    ("cross-entropy, or no penalty", "nonsaturating", "none"),
  ]:
    defaults = method_defaults(loss, penalty)
    own = {name: value for name, value in defaults.items() if name not in _COMMON}
    values = "  ".join(f"{name}={value}" for name, value in own.items() if value is not None)
    lines.append(f"  {title}:\n    {values}")
  common = {name: method_defaults("wasserstein", "gp")[name] for name in _COMMON}
  lines += [
    "A chosen optimizer brings its own learning_rate and betas. RMSProp has its epsilon outside",
    "the root. Clipping is of every parameter of the critic, biases too.",
    "Defaults of all methods:",
    "  " + "  ".join(f"{name}={value}" for name, value in common.items()),
    f"  width={_WIDTHS['mlp']} with architecture=mlp",
  ]
  return "\n".join(lines)
