"""The settings of a run: one dataclass whose fields are the flags."""

import dataclasses
import functools
import pathlib
import typing
from collections.abc import Callable

import jax.numpy as jnp

from experiments.spec import choosing
from experiments.spec.dataset import Dataset
from experiments.spec.datasets import DATASETS, load_dataset
from experiments.spec.networks import ARCHITECTURES
from experiments.spec.parsers import parse_size
from experiments.spec.setting import ROWS, Choices, Setting
from wgan_jax import Config, Hparams, Pair
from wgan_jax.constraints import one_lipschitz
from wgan_jax.networks import CONDITIONAL
from wgan_jax.precision import COMPUTE_DTYPES

_MAX_SEED = 2**32 - 1
_IN_EVERY_NAME = ("dataset", "loss", "penalty", "seed")


def _setting(*args, **kwargs):
  return dataclasses.field(metadata={"setting": Setting(*args, **kwargs)})


def _option(name, text, **kwargs):
  """A setting that only some data sets have, one of their `Source.options`."""
  return _setting(text, lambda choices: choices.data.options[name], **kwargs,
    of="dataset", applies=lambda source: name in source.options)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Settings:
  """All that changes the result of a run, apart from its length.

  Each field is a flag. None stands for what the method does not have, such as the clip value of a
  gradient penalty. A field of `Hparams` is traced; all others but the seed change the program.

  Raises:
    ValueError: a value has the wrong type, is unknown or out of bounds, is missing, or means
      nothing with the others; names the field.
  """

  # fmt: off
  dataset: str = _setting("The data set.", choices=ROWS["dataset"])
  loss: str = _setting("The loss of both networks.", "wasserstein", choices=ROWS["loss"])
  penalty: str = _setting("The constraint on the critic's slope.", "gp", choices=ROWS["penalty"])
  critic: str = _setting(
    "plain, or what makes the critic 1-Lipschitz by construction; --penalty is none then, if not"
    " given.", "plain", choices=ROWS["critic"], before="plain")
  seed: int = _setting("Seed of every draw.", 0, 0, _MAX_SEED)
  architecture: str = _setting("The networks.",
    choosing.architecture, choices=ROWS["architecture"])
  width: int = _setting("Channels of the first convolution, or units of a hidden layer.",
    choosing.of_data_or_networks("width"), 1, 4096)
  depth: int | None = _setting("Hidden layers of a fully connected network.",
    lambda choices: choices.row("architecture").depth, 1, 100,
    of="architecture", applies=lambda architecture: architecture.depth is not None)
  latent_dim: int | None = _setting(
    "Size of the latent z ~ N(0, I), without those that choose a category of infogan's.",
    choosing.of_data_or_networks("latent_dim"), 1, 65536,
    of="dataset", applies=lambda source: source.generator is None)
  batch_size: int = _setting("Samples per update.",
    choosing.of_data_or_networks("batch_size"), 1, 65536)
  generator_batch_size: int | None = _setting(
    "Samples per update of the generator; --batch_size, if not given.", None, 1, 65536,
    optional=True, of="fixed_generator", applies=lambda fixed: not fixed)
  n_critic: int = _setting("Critic updates per generator update.",
    lambda choices: 5 if choices.is_wasserstein else 1, 1, 1000)
  optimizer: str = _setting("The optimiser of both networks.",
    choosing.optimizer, choices=ROWS["optimizer"])
  learning_rate: float = _setting("Learning rate of both networks.",
    choosing.learning_rate, 1e-12, 10.0)
  critic_learning_rate: float | None = _setting(
    "Learning rate of the critic alone; --learning_rate, if not given.", None, 1e-12, 10.0,
    optional=True, of="fixed_generator", applies=lambda fixed: not fixed)
  schedule: str = _setting("How the learning rates fall to zero over --decay_steps.",
    "constant", choices=ROWS["schedule"])
  decay_steps: int | None = _setting(
    "Steps over which the learning rates fall; --steps, if not given.", None, 1, 10**8,
    of="schedule", applies=lambda schedule: schedule is not ROWS["schedule"]["constant"])
  ema_half_life: float | None = _setting(
    "Images in which the moving average of the generator, from which samples are drawn, forgets"
    " half of what was; 0: they are drawn from the generator itself.",
    lambda choices: choices.row("architecture").ema_half_life, 0.0, 1e12,
    of="fixed_generator", applies=lambda fixed: not fixed)
  beta1: float | None = _setting("Decay of the mean gradient.",
    lambda choices: choices.row("optimizer").defaults["beta1"], 0.0, 0.999999,
    of="optimizer", applies=lambda optimizer: "beta1" in optimizer.defaults)
  beta2: float | None = _setting("Decay of the mean squared gradient.",
    choosing.beta2, 0.0, 0.999999,
    of="optimizer", applies=lambda optimizer: "beta2" in optimizer.defaults)
  lambda_gp: float | None = _setting("Weight of the penalty.", choosing.lambda_gp, 0.0, 1e6,
    of="penalty", applies=lambda penalty: penalty.cost is not None)
  clip_value: float | None = _setting("c: the critic's parameters are clipped to [-c, c].",
    lambda choices: choices.row("architecture").clip_value, 1e-8, 1e3,
    of="penalty", applies=lambda penalty: "clip_value" in penalty.reads)
  fixed_generator: bool = _setting("Train the critic alone: the generator stays as it starts.",
    False, choices=ROWS["fixed_generator"],
    otherwise=True, of="dataset", applies=lambda source: source.generator is None)
  compute_dtype: str = _setting(
    "Type in which the networks are trained; parameters and all measures are float32.",
    "float32", choices=COMPUTE_DTYPES, before="float32")
  micro_batches: int = _setting(
    "Parts in which a batch goes through the networks, for less memory and a third more arithmetic;"
    " batch normalisation sees one part.", 1, 1, 65536, before=1)
  rematerialize: bool = _setting(
    "Compute passes through the networks again for their derivatives, for less memory and a third"
    " more arithmetic. Not with --micro_batches, which do so anyway.", False, before=False)
  conditional: str = _setting("How the networks are told a sample's class.",
    "none", choices=CONDITIONAL, before="none",
    otherwise="none", of="dataset", applies=lambda source: source.n_classes != 0)
  dim: int | None = _option("dim", "Dimension of the points.", low=2, high=1024, before=2)
  n_funnels: int | None = _option("n_funnels",
    "Funnels in the random pair of distributions; more are harder.", low=1, high=10**4)
  data_seed: int | None = _option("data_seed",
    "Seed of the random pair of distributions.", low=0, high=_MAX_SEED)
  folder: str | None = _option("folder",
    "A folder of PNG, JPEG or WebP images; its subfolders are classes.", named=False)
  size: str | None = _option("size",
    "Height and width to which images are cropped and resized: H,W or one number, 16 to 128.",
    read=parse_size)
  channels: int | None = _option("channels",
    "1 for grey images, 3 for colour; if not given, as the files are.", choices=(1, 3),
    low=1, high=3)
  n_classes: int | None = _option("n_classes", "", low=0, high=10**6, derived=True, named=False)
  window: int | None = _option("window",
    "Images on the device at once, drawn from for as many steps as draw each once, then followed by"
    " others; 0 for all. If not given, 0 up to 2 GB.", low=0, high=10**9)
  skip_corrupt: bool | None = _option("skip_corrupt",
    "Leave out the files that cannot be used, instead of stopping.")
  # fmt: on

  def __post_init__(self):
    for name, setting in SETTINGS.items():
      setting.check_value(name, getattr(self, name), types_of(name))
    choices = self.choices
    if choices.data.kind not in choices.row("architecture").kinds:
      raise ValueError(f"architecture={self.architecture} does not draw {choices.data.kind}")
    for name, setting in SETTINGS.items():
      setting.check_use(name, getattr(self, name), choices)
    architecture = choices.row("architecture")
    architecture.check(self.sample_shape)
    if self.conditional != "none" and not architecture.conditional:
      raise ValueError(f"conditional={self.conditional} does nothing with {self.architecture}")
    if self.conditional != "none" and self._n_classes < 2:
      raise ValueError(f"conditional={self.conditional} needs images in at least two subfolders")
    if choices.is_by_construction and self.conditional != "none":
      raise ValueError(f"conditional={self.conditional} does nothing with critic={self.critic}")
    if choices.is_by_construction and self.width % 2:
      raise ValueError(f"width={self.width} is odd, and critic={self.critic} sorts pairs of units")
    for name in ("batch_size", "generator_batch_size"):
      if (getattr(self, name) or 0) % self.micro_batches:
        raise ValueError(
          f"micro_batches={self.micro_batches} does not divide {name}={getattr(self, name)}"
        )
    if self.rematerialize and self.micro_batches > 1:
      raise ValueError("rematerialize does nothing with micro_batches, which do it anyway")

  @classmethod
  def of_record(cls, record: dict) -> "Settings":
    """Reads the settings in a config.json, also one from before there was some setting.

    Raises:
      ValueError: names the first field that is unknown, missing or wrong.
    """
    if not isinstance(record, dict):
      raise ValueError("it holds no settings")
    unknown = [name for name in record if name not in SETTINGS]
    if unknown:
      raise ValueError(f"unknown setting {', '.join(unknown)}")
    before = {name: row.before for name, row in SETTINGS.items() if row.before is not None}
    before |= {name: None for name, row in SETTINGS.items() if row.optional}
    if record.get("dataset") in DATASETS:  # Options of data sets that there were not.
      source = DATASETS[record["dataset"]]
      before |= {name: None for name in _OPTIONS if name not in source.options}
    missing = [name for name in SETTINGS if name not in before | record]
    if missing:
      raise ValueError(f"missing setting {', '.join(missing)}")
    if record["ema_half_life"] is None and not record["fixed_generator"]:
      record = record | {"ema_half_life": 0.0}  # As it was before 0 could be given.
    return cls(**before | record)

  @property
  def choices(self) -> Choices:
    """The settings that decide the others."""
    return Choices(*(getattr(self, name) for name in Choices._fields))

  def config(self) -> Config:
    """The static part of the training step."""
    names = [field.name for field in dataclasses.fields(Config) if field.name in SETTINGS]
    unroll = ARCHITECTURES[self.architecture].unroll
    return Config(**{name: getattr(self, name) for name in names}, unroll=unroll)

  def hparams(self) -> Hparams:
    """The traced part, as arrays; what the method does not have is 0, and nothing reads it."""
    values = {name: getattr(self, name) or 0.0 for name in Hparams._fields}
    values["critic_learning_rate"] = self.critic_learning_rate or self.learning_rate
    return Hparams(**{name: jnp.float32(value) for name, value in values.items()})

  @property
  def method(self) -> str:
    """The loss and what bounds the critic's slope, in words."""
    critic = "" if self.critic == "plain" else f", {self.critic} critic"
    return f"{self.loss}, {self.penalty}{critic}"

  @property
  def title(self) -> str:
    """The data set's name, or a folder's own."""
    return self.dataset if self.folder is None else pathlib.Path(self.folder).name

  @property
  def sample_shape(self) -> tuple[int, ...]:
    """The shape of one sample."""
    return DATASETS[self.dataset].shape(**self.data_options())

  @property
  def _n_classes(self):
    own = DATASETS[self.dataset].n_classes
    return self.n_classes if own is None else own

  def networks(self) -> Pair:
    """Makes the critic and the generator."""
    source = DATASETS[self.dataset]
    latent_dim = self.latent_dim or source.latent_dim
    size = {"latent_dim": latent_dim, "width": self.width, "depth": self.depth}
    if self.conditional != "none":
      size |= {"n_classes": self._n_classes, "conditional": self.conditional}
    pair = ARCHITECTURES[self.architecture].make(source.kind, self.sample_shape, **size)
    if self.choices.is_by_construction:
      pair = pair._replace(critic=one_lipschitz(pair.critic, self.choices.row("critic")))
    if source.generator is None:
      return pair
    generator = source.generator(self.dataset, **self.data_options())
    return pair._replace(generator=generator, latent_dim=self.sample_shape[0])

  def load(self, data_dir: str | None = None) -> Dataset:
    """Loads the data: images from `data_dir` or the usual TFDS folder, or points."""
    return make_loader(data_dir)(self)

  def data_options(self) -> dict:
    """The options of the data set, by name."""
    return {name: getattr(self, name) for name in DATASETS[self.dataset].options}

  def run_name(self) -> str:
    """The run folder's name: data, loss, penalty, seed, then every setting that is no default."""
    name = f"{self.title}-{self.loss}-{self.penalty}-seed{self.seed}"
    for field, setting in SETTINGS.items():
      if field in _IN_EVERY_NAME or not setting.named:
        continue
      value = getattr(self, field)
      if value not in (None, setting.value(self.choices)):
        name += f"-{field}_{value}" if isinstance(value, str) else f"-{field}{value:.12g}"
    return name

  def program_name(self) -> str:
    """The name shared by all settings that compile to one program."""
    values = {name: getattr(self, name) for name in STATIC if SETTINGS[name].named}
    for name in ("critic", "conditional", "micro_batches", "dim"):  # Before there were these.
      if values[name] == SETTINGS[name].before:
        del values[name]
    return "-".join(
      value if isinstance(value, str) else f"{name}{value}"
      for name, value in values.items()
      if value not in (None, False)
    )

  def over(self, steps: int) -> "Settings":
    """Returns these settings with learning rates, if they fall, that do so over so many steps."""
    return self if self.decay_steps is None else dataclasses.replace(self, decay_steps=steps)


SETTINGS = {field.name: field.metadata["setting"] for field in dataclasses.fields(Settings)}
"""What is known of each setting, by name."""
# What changes the program; the rest changes only numbers, and the seed the draws.
STATIC = tuple(name for name in SETTINGS if name not in (*Hparams._fields, "seed"))
_OPTIONS = {option for source in DATASETS.values() for option in source.options}


def types_of(name: str) -> tuple[type, ...]:
  """Types of a setting: that of its values first, and that of None where it may mean nothing."""
  field_type = Settings.__dataclass_fields__[name].type
  return typing.get_args(field_type) or (field_type,)


def make_loader(data_dir: str | None) -> Callable[[Settings], Dataset]:
  """Builds `load(settings) -> Dataset`, which loads the data of equal options once.

  Args:
    data_dir: TFDS folder of images; None for the usual one.
  """
  load = functools.cache(functools.partial(load_dataset, data_dir=data_dir))
  return lambda settings: load(
    settings.dataset, conditional=settings.conditional != "none", **settings.data_options()
  )
