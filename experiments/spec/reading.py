"""Functions that read the flags that launchers share into a data set's name and settings."""

import sys
from collections.abc import Callable

from absl import flags

from experiments.host.errors import UserError
from experiments.spec import choosing, folders
from experiments.spec.datasets import AUTO, DATASETS
from experiments.spec.defaults import default_steps
from experiments.spec.grid import Grid
from experiments.spec.presets import preset_settings
from experiments.spec.settings import SETTINGS, Settings
from wgan_jax.data.images import resolve_auto


def choose_dataset(
  flag_values: flags.FlagValues, recorded: Callable[[str], str | None] = lambda name: None
) -> str:
  """Chooses --dataset; for auto the one that the folder has, or else the best there is.

  Args:
    flag_values: holds `dataset` and `data_dir`, perhaps `folder`, which stands for a data set.
    recorded: by a data set's name, the one recorded in the folder that it would get; or None.

  Raises:
    UserError: --folder and another data set were given, or neither.
  """
  own = "folder" in flag_values and flag_values["folder"].present
  if own and flag_values.dataset not in (None, "auto", "folder"):
    raise UserError(f"--folder does nothing with --dataset={flag_values.dataset}: leave one out")
  if own:
    return "folder"
  if flag_values.dataset in (None, "folder"):
    raise UserError("--folder is missing: name a folder of images, or another --dataset")
  if flag_values.dataset != "auto":
    return flag_values.dataset
  for candidate in AUTO:
    name = recorded(candidate)
    if name is not None:
      other = "" if name == AUTO[0] else f"; --dataset={AUTO[0]} trains on that instead"
      print(f"resuming with {name}, the data set recorded in the folder{other}")
      return name
  name = resolve_auto(flag_values.data_dir)
  if name == "digits":
    print(
      "warning: no MNIST here that could be read or downloaded (see --data_dir): training on the"
      " embedded digits (--dataset=digits)",
      file=sys.stderr,
    )
  return name


def read_choices(flag_values: flags.FlagValues) -> dict[str, tuple]:
  """Reads the values that were given for settings, and `methods`, by name.

  Raises:
    UserError: --methods was given beside what it stands for.
  """
  values = {
    name: flag_values[name].value
    for name in (*SETTINGS, "methods")
    if name not in ("dataset", "seed")
    if name in flag_values and not flag_values[name].using_default_value
  }
  for name in ("loss", "penalty", "critic"):
    if {name, "methods"} <= values.keys():
      raise UserError(f"--{name} does nothing with --methods: leave one of them out")
  values = {name: each if isinstance(each, tuple) else (each,) for name, each in values.items()}
  return values | _folder_choices(values) if "folder" in values else values


def _folder_choices(values: dict[str, tuple]) -> dict[str, tuple]:
  """All options of a folder of images: those that were not given are as its files are."""
  given = {name: values[name][0] for name in DATASETS["folder"].options if name in values}
  conditional = values.get("conditional", ("none",)) != ("none",)
  found = folders.inspect(given, conditional=conditional)
  return {name: (value,) for name, value in found.items()}


def read_settings(flag_values: flags.FlagValues, dataset: str) -> Settings:
  """Reads the settings that the flags of one run ask for, with the method's defaults filled in.

  Args:
    flag_values: holds the method's flags, each of one value, `preset`, `seed` and `steps`, which
      gets its default.
    dataset: the name of the data set.

  Raises:
    UserError: a flag was given that the other choices make idle.
  """
  preset = {}
  if flag_values.preset is not None:
    penalty = flag_values.penalty
    if not flag_values["penalty"].present:
      penalty = choosing.penalty(flag_values.critic)
    method = flag_values.loss, penalty, flag_values.optimizer
    preset = preset_settings(flag_values.preset, dataset, *method)
  choices = {name: (value,) for name, value in preset.items()} | read_choices(flag_values)

  def settings(steps):
    (made,) = Grid(dataset, choices, steps).settings([flag_values.seed])
    return made

  if flag_values.steps is None:
    flag_values.steps = default_steps(settings(1), flag_values.preset)
  return settings(flag_values.steps)
