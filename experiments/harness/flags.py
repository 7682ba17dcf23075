"""Functions that register the flags that launchers share, and that read them into settings."""

import importlib.util

from absl import flags

from experiments.harness.cli import define_float
from experiments.harness.errors import UserError
from experiments.harness.settings import ARCHITECTURES, Settings, method_defaults
from wgan_jax.data.images import NAMES
from wgan_jax.losses import LOSSES
from wgan_jax.penalties import PENALTIES
from wgan_jax.training import OPTIMIZERS

MAX_STEPS = 10**8
MAX_SEED = 2**32 - 1

_INTEGERS = {
  "width": (1, 4096, "Channels of the first convolution, or units of a hidden layer."),
  "latent_dim": (1, 65536, "Size of the latent z ~ N(0, I)."),
  "batch_size": (1, 65536, "Samples per update."),
  "n_critic": (1, 1000, "Critic updates per generator update."),
}
_FLOATS = {
  "lambda_gp": (0.0, 1e6, "Weight of the gradient penalty."),
  "clip_value": (1e-8, 1e3, "c: the critic's parameters are clipped to [-c, c]."),
  "learning_rate": (1e-12, 10.0, "Learning rate of both networks."),
  "beta1": (0.0, 0.999999, "Adam's decay of the mean gradient."),
  "beta2": (0.0, 0.999999, "Decay of the mean squared gradient, Adam's and RMSProp's."),
}


def register_method(flag_values: flags.FlagValues) -> None:
  """The flags that choose loss, penalty, networks, optimiser and their numbers."""
  flags.DEFINE_enum(
    "penalty", "gp", list(PENALTIES), "What keeps the critic Lipschitz.", flag_values=flag_values
  )
  flags.DEFINE_enum("loss", "wasserstein", list(LOSSES), "The loss.", flag_values=flag_values)
  flags.DEFINE_enum(
    "architecture", "dcgan", ARCHITECTURES, "The networks.", flag_values=flag_values
  )
  flags.DEFINE_enum(
    "optimizer", None, OPTIMIZERS, "The optimiser of both networks.", flag_values=flag_values
  )
  for name, (low, high, text) in _INTEGERS.items():
    flags.DEFINE_integer(
      name, None, text, lower_bound=low, upper_bound=high, flag_values=flag_values
    )
  for name, (low, high, text) in _FLOATS.items():
    define_float(name, None, text, low=low, high=high, flag_values=flag_values)


def register_run(flag_values: flags.FlagValues, *, steps: int) -> None:
  """The flags of a run: data, length, seed, folder and what is written when."""
  flags.DEFINE_enum(
    "dataset",
    "auto",
    ["auto", *NAMES],
    "Data set; auto is MNIST where it is prepared or can be downloaded, else digits.",
    flag_values=flag_values,
  )
  flags.DEFINE_string(
    "data_dir", None, "TFDS folder; else TFDS_DATA_DIR, else TFDS's own.", flag_values=flag_values
  )
  flags.DEFINE_string(
    "workdir",
    None,
    "Run folder; the default is named after the settings, under runs/.",
    flag_values=flag_values,
  )
  flags.DEFINE_integer(
    "seed", 0, "Seed of every draw.", lower_bound=0, upper_bound=MAX_SEED, flag_values=flag_values
  )
  for name, default, text in [
    ("steps", steps, "Generator updates in all; a larger value extends a finished run."),
    ("log_every", 20, "Steps between lines of metrics."),
    ("sample_every", 200, "Steps between pictures of samples and curves."),
    ("checkpoint_every", 200, "Steps between checkpoints; the last 3 are kept."),
  ]:
    flags.DEFINE_integer(
      name, default, text, lower_bound=1, upper_bound=MAX_STEPS, flag_values=flag_values
    )
  flags.DEFINE_boolean(
    "tensorboard", False, "Write TensorBoard events too.", flag_values=flag_values
  )


def check_run(flag_values: flags.FlagValues) -> None:
  """Refuses flags of `register_run` that do nothing, or that cannot be obeyed here.

  Raises:
    UserError: names the flag.
  """
  refuse_empty(flag_values, "workdir", "data_dir")
  if flag_values.dataset == "digits" and flag_values.data_dir is not None:
    raise UserError("--data_dir does nothing with --dataset=digits: leave it out")
  if flag_values.tensorboard and importlib.util.find_spec("tensorboardX") is None:
    raise UserError(
      "--tensorboard needs tensorboardX: install the extra, pip install -e '.[tensorboard]'"
    )


def refuse_empty(flag_values: flags.FlagValues, *names: str) -> None:
  """Refuses a path that is empty: mostly an unset variable of the shell.

  Raises:
    UserError: names the flag.
  """
  for name in names:
    if flag_values[name].value == "":
      raise UserError(f"--{name}= is empty: name a path, or leave the flag out")


def read_settings(flag_values: flags.FlagValues, dataset: str) -> Settings:
  """The settings that the flags ask for, with the method's defaults filled in.

  Raises:
    UserError: a flag was given that the other choices make idle.
  """
  given = {
    name: flag_values[name].value
    for name in ["optimizer", *_INTEGERS, *_FLOATS]
    if flag_values[name].value is not None
  }
  loss, penalty, architecture = flag_values.loss, flag_values.penalty, flag_values.architecture
  defaults = method_defaults(loss, penalty, given.get("optimizer"), architecture)
  for name in given:
    if defaults[name] is None:
      choice = f"--optimizer={defaults['optimizer']}" if name == "beta1" else f"--penalty={penalty}"
      raise UserError(f"--{name} does nothing with {choice}: leave it out")
  return Settings(dataset, loss, penalty, flag_values.seed, **{**defaults, **given})
