"""Functions that register the flags that launchers share, and that read them into settings."""

import math

from absl import flags

from experiments.host.errors import UserError
from experiments.spec.datasets import GIVEN_GENERATOR, POINTS
from experiments.spec.grid import Grid
from experiments.spec.methods import ARCHITECTURES, METHODS
from experiments.spec.settings import Settings
from wgan_jax.losses import LOSSES
from wgan_jax.optimizers import OPTIMIZERS
from wgan_jax.penalties import PENALTIES
from wgan_jax.precision import COMPUTE_DTYPES

DEFAULT_STEPS = 1200
MAX_STEPS = 10**8
MAX_SEED = 2**32 - 1

_INTEGERS = {
  "width": (1, 4096, "Channels of the first convolution, or units of a hidden layer."),
  "depth": (1, 100, "Hidden layers of a fully connected network."),
  "latent_dim": (1, 65536, "Size of the latent z ~ N(0, I)."),
  "batch_size": (1, 65536, "Samples per update."),
  "n_critic": (1, 1000, "Critic updates per generator update."),
  "decay_steps": (
    0,
    10**8,
    "Steps over which the learning rate falls linearly to zero; 0 for a constant one.",
  ),
}
_FLOATS = {
  "lambda_gp": (0.0, 1e6, "Weight of the gradient penalty."),
  "clip_value": (1e-8, 1e3, "c: the critic's parameters are clipped to [-c, c]."),
  "learning_rate": (1e-12, 10.0, "Learning rate of both networks."),
  "beta1": (0.0, 0.999999, "Adam's decay of the mean gradient."),
  "beta2": (0.0, 0.999999, "Decay of the mean squared gradient, Adam's and RMSProp's."),
}


class FiniteParser(flags.FloatParser):
  """A finite number within bounds; absl's own takes NaN for one within any."""

  def convert(self, argument):
    value = super().convert(argument)
    if not math.isfinite(value):
      raise ValueError("not a finite number")
    return value


class _ListOf(flags.ArgumentParser):
  """Values separated by commas, each of them as another parser takes it."""

  def __init__(self, parser: flags.ArgumentParser):
    self._parser = parser
    self.enum_values = getattr(parser, "enum_values", None)

  def parse(self, argument):
    if isinstance(argument, tuple):  # A default.
      return argument
    if not argument.strip():
      raise ValueError("an empty list: give values separated by commas, or leave the flag out")
    values = []
    for part in argument.split(","):
      try:
        value = self._parser.parse(part.strip())
      except (TypeError, ValueError) as error:
        raise ValueError(f"{part.strip()!r} in the list: {error}") from error
      if value in values:
        raise ValueError(f"{part.strip()} stands twice in the list")
      values.append(value)
    return tuple(values)

  def flag_type(self):
    return f"{self._parser.flag_type()},{self._parser.flag_type()},..."


def register_list(
  flag_values: flags.FlagValues, name: str, default, text: str, parser: flags.ArgumentParser
) -> None:
  """A flag for a list of values, each as the parser takes it."""
  serializer = flags.ArgumentSerializer()
  flags.DEFINE(_ListOf(parser), name, default, text, flag_values, serializer)


def register_method(
  flag_values: flags.FlagValues, *, lists: bool = False, architecture: bool = True
) -> None:
  """The flags that choose loss, penalty, networks, optimiser and their numbers.

  Args:
    flag_values: where they are defined.
    lists: whether each takes a list of values; there is one for whole methods then, too.
    architecture: whether the networks can be chosen.
  """

  def define(name, default, text, parser):
    if lists:
      register_list(flag_values, name, default and (default,), text, parser)
    else:
      flags.DEFINE(parser, name, default, text, flag_values, flags.ArgumentSerializer())

  define("penalty", "gp", "What keeps the critic Lipschitz.", flags.EnumParser(list(PENALTIES)))
  define("loss", "wasserstein", "The loss.", flags.EnumParser(list(LOSSES)))
  if lists:
    text = "Instead of all pairs of --loss and --penalty: a loss alone, or a penalty with its loss."
    define("methods", None, text, flags.EnumParser(list(METHODS)))
  if architecture:
    text = "The networks; dcgan for images and mlp for points, if not given."
    define("architecture", None, text, flags.EnumParser(list(ARCHITECTURES)))
  define("optimizer", None, "The optimiser of both networks.", flags.EnumParser(list(OPTIMIZERS)))
  text = "In which the networks are trained; parameters and all that is measured are float32."
  define("compute_dtype", None, text, flags.EnumParser(list(COMPUTE_DTYPES)))
  for name, (low, high, text) in _INTEGERS.items():
    define(name, None, text, flags.IntegerParser(low, high))
  for name, (low, high, text) in _FLOATS.items():
    define(name, None, text, FiniteParser(low, high))
  text = "Train the critic alone: the generator stays as it starts."
  flags.DEFINE_boolean("fixed_generator", False, text, flag_values=flag_values)


def register_run(
  flag_values: flags.FlagValues,
  *,
  steps: int | None = DEFAULT_STEPS,
  steps_text: str = "",
  exact_every: int | None = 0,
  log_every: int = 20,
  sample_every: int | None = 200,
  checkpoint_every: int = 200,
) -> None:
  """The flags of a run: its length, its folder and what is written when."""
  flags.DEFINE_string(
    "workdir",
    None,
    "The folder to write; else one under runs/, which the launcher names.",
    flag_values=flag_values,
  )
  pictures = "Steps between pictures of samples" + (
    " and curves (of these, fewer where they would slow training)."
    if sample_every
    else "; the end only where it is not given."
  )
  for name, default, text in [
    (
      "steps",
      steps,
      "Generator updates in all; a larger value extends a finished run." + steps_text,
    ),
    ("log_every", log_every, "Steps between lines of metrics."),
    ("sample_every", sample_every, pictures),
    ("checkpoint_every", checkpoint_every, "Steps between checkpoints; the last 3 are kept."),
  ]:
    flags.DEFINE_integer(
      name, default, text, lower_bound=1, upper_bound=MAX_STEPS, flag_values=flag_values
    )
  flags.DEFINE_string(
    "compilation_cache",
    None,
    "Where compiled programs are kept for the next start; none for nowhere, and the user's cache"
    " folder if not given.",
    flag_values=flag_values,
  )
  text = (
    "Steps between lines of metrics that hold the slow measures too (exact distance, certificate,"
    " what a classifier sees, gradients), seconds each; 0 for never."
  )
  flags.DEFINE_integer(
    "exact_every", exact_every, text, lower_bound=0, upper_bound=MAX_STEPS, flag_values=flag_values
  )


def register_single(flag_values: flags.FlagValues) -> None:
  """The flags of a launcher that trains one run."""
  flags.DEFINE_integer(
    "seed",
    0,
    "Seed of every draw.",
    lower_bound=0,
    upper_bound=MAX_SEED,
    flag_values=flag_values,
  )
  text = "Write TensorBoard events too."
  flags.DEFINE_boolean("tensorboard", False, text, flag_values=flag_values)


def check_run(flag_values: flags.FlagValues) -> None:
  """Refuses flags of `register_run` that do nothing, or that cannot be obeyed here.

  Raises:
    UserError: names the flag.
  """
  refuse_empty(flag_values, "workdir", "compilation_cache")
  if "data_dir" in flag_values:
    check_data_dir(flag_values, flag_values.dataset)
  if flag_values.dataset in GIVEN_GENERATOR and flag_values["fixed_generator"].present:
    raise UserError(
      f"--fixed_generator does nothing with --dataset={flag_values.dataset}, which brings its"
      " generator: leave it out"
    )
  if flag_values.exact_every and flag_values.exact_every % flag_values.log_every:
    raise UserError(
      f"--exact_every={flag_values.exact_every} must be a multiple of"
      f" --log_every={flag_values.log_every}: the slow measures stand in the lines of metrics"
    )


def check_data_dir(flag_values: flags.FlagValues, dataset: str) -> None:
  """Refuses a folder that is empty, or that a data set does not read.

  Raises:
    UserError: names the flag.
  """
  refuse_empty(flag_values, "data_dir")
  if dataset in ("digits", *POINTS) and flag_values.data_dir is not None:
    raise UserError(f"--data_dir does nothing with {dataset}: leave it out")


def refuse_empty(flag_values: flags.FlagValues, *names: str) -> None:
  """Refuses a path that is empty: mostly an unset variable of the shell.

  Raises:
    UserError: names the flag.
  """
  for name in names:
    if flag_values[name].value == "":
      raise UserError(f"--{name}= is empty: name a path, or leave the flag out")


def read_choices(flag_values: flags.FlagValues) -> dict[str, tuple]:
  """What the method's flags say, by name, where it is not left to the method.

  Raises:
    UserError: --methods was given beside what it stands for.
  """
  names = [
    "loss",
    "penalty",
    "methods",
    "architecture",
    "optimizer",
    "compute_dtype",
    *_INTEGERS,
    *_FLOATS,
  ]
  names += ["n_funnels", "data_seed"]
  values = {name: flag_values[name].value for name in names if name in flag_values}
  if values.get("methods") is not None:
    for name in ("loss", "penalty"):
      if flag_values[name].present:
        raise UserError(f"--{name} does nothing with --methods: leave one of them out")
  if flag_values.fixed_generator:
    values["fixed_generator"] = True
  return {
    name: value if isinstance(value, tuple) else (value,)
    for name, value in values.items()
    if value is not None
  }


def read_settings(
  flag_values: flags.FlagValues, dataset: str, preset: dict | None = None
) -> Settings:
  """The settings that the flags of one run ask for, with the method's defaults filled in.

  Args:
    flag_values: holds the method's flags, each of one value, and `seed`.
    dataset: the name of the data set.
    preset: values in place of the method's defaults.

  Raises:
    UserError: a flag was given that the other choices make idle.
  """
  choices = {name: (value,) for name, value in (preset or {}).items()}
  (settings,) = Grid(dataset, choices | read_choices(flag_values)).settings([flag_values.seed])
  return settings
