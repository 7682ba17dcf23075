"""What decides a run's result."""

import dataclasses

import jax.numpy as jnp

from experiments.spec.datasets import POINTS, Dataset, find_toy, load_dataset
from experiments.spec.methods import ARCHITECTURES, method_defaults
from wgan_jax.data.images import image_shape
from wgan_jax.networks import dcgan, mlp
from wgan_jax.training import Config, Hparams
from wgan_jax.types import Pair


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
  depth: int | None
  latent_dim: int | None
  batch_size: int
  n_critic: int
  optimizer: str
  learning_rate: float
  decay_steps: int
  beta1: float | None
  beta2: float
  lambda_gp: float | None
  clip_value: float | None
  fixed_generator: bool
  compute_dtype: str
  n_funnels: int | None
  data_seed: int | None

  def __post_init__(self):
    for field in dataclasses.fields(self):
      if not isinstance(getattr(self, field.name), field.type):
        raise TypeError(f"{field.name} is {getattr(self, field.name)!r}")
    if self.architecture not in ARCHITECTURES:
      raise ValueError(f"architecture is {self.architecture!r}")
    self.config()  # Refuses what it does not know.

  @classmethod
  def of_record(cls, record: dict) -> "Settings":
    """The settings in a config.json, also of a run from before there was a choice of the type."""
    return cls(**{"compute_dtype": "float32"} | record)

  def config(self) -> Config:
    """The static part."""
    return Config(
      self.loss,
      self.penalty,
      self.optimizer,
      self.n_critic,
      self.batch_size,
      self.fixed_generator,
      self.compute_dtype,
    )

  def hparams(self) -> Hparams:
    """The traced part, as arrays; what the method does not have is 0, and nothing reads it."""
    values = [getattr(self, name) or 0.0 for name in Hparams._fields]
    return Hparams(*(jnp.float32(value) for value in values))

  def networks(self) -> Pair:
    """The critic and the generator."""
    size = {"width": self.width, "depth": self.depth}
    if self.dataset in POINTS:
      toy = find_toy(self.dataset, self.n_funnels, self.data_seed)
      pair = mlp((toy.dim,), latent_dim=self.latent_dim or toy.dim, **size)
      return pair if toy.generator is None else pair._replace(generator=toy.generator)
    shape = image_shape(self.dataset)
    if self.architecture == "dcgan":
      return dcgan(shape, latent_dim=self.latent_dim, width=self.width)
    return mlp(shape, latent_dim=self.latent_dim, output=jnp.tanh, **size)

  def load(self, data_dir: str | None = None) -> Dataset:
    """The data: images from `data_dir` or the usual TFDS folder, or points."""
    return load_dataset(self.dataset, data_dir, self.n_funnels, self.data_seed)

  def run_name(self) -> str:
    """The run folder's name: what one asks for first, then every setting that is no default."""
    method = (self.dataset, self.loss, self.penalty)
    defaults = method_defaults(*method, self.optimizer, self.architecture)
    usual = method_defaults(*method)
    defaults |= {name: usual[name] for name in ("architecture", "optimizer")}
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
    told = [f"{k}{v}" if k in _NUMBERS else v for k, v in values.items() if v not in (None, False)]
    return "-".join(told)

  def notes(self, steps: int) -> list[str]:
    """One line for each choice that a paper advises against, or that wastes steps."""
    notes = []
    if 0 < self.decay_steps < steps:
      notes.append(
        f"the learning rate is 0 after step {self.decay_steps}: of {steps} steps the rest change"
        " nothing"
      )
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
