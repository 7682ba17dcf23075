"""Functions that register the flags that choose a data set, and that read them."""

import sys
from collections.abc import Callable

from absl import flags

from experiments.spec.datasets import IMAGES, POINTS
from experiments.spec.flags import MAX_SEED
from wgan_jax.data.images import resolve_auto


def register_images(flag_values: flags.FlagValues, *, points: bool = False) -> None:
  """The flags that choose a data set of images, or of points too."""
  flags.DEFINE_enum(
    "dataset",
    "auto",
    ["auto", *IMAGES, *(POINTS if points else ())],
    "Data set; auto is MNIST where it is prepared or can be downloaded, else digits.",
    flag_values=flag_values,
  )
  flags.DEFINE_string(
    "data_dir", None, "TFDS folder; else TFDS_DATA_DIR, else TFDS's own.", flag_values=flag_values
  )


def register_funnels(flag_values: flags.FlagValues) -> None:
  """The flags that choose one of the pairs of distributions that are called funnels."""
  for name, high, text in [
    ("n_funnels", 10**4, "Funnels of --dataset=funnels; more of them are harder."),
    ("data_seed", MAX_SEED, "Which random pair of --dataset=funnels."),
  ]:
    flags.DEFINE_integer(
      name,
      None,
      text,
      lower_bound=int(name == "n_funnels"),
      upper_bound=high,
      flag_values=flag_values,
    )


def choose_dataset(flag_values: flags.FlagValues, recorded: Callable[[str], str | None]) -> str:
  """--dataset; where it is auto, the data set that was begun with, else the best there is.

  Args:
    flag_values: holds `dataset` and `data_dir`.
    recorded: tells, of a name, the data set that is recorded in the folder that it would get.
  """
  if flag_values.dataset != "auto":
    return flag_values.dataset
  for candidate in ("mnist", "digits"):
    name = recorded(candidate)
    if name is not None:
      print(f"going on with {name}, as what is there; --dataset=mnist decides otherwise")
      return name
  name = resolve_auto(flag_values.data_dir)
  if name == "digits":
    print(
      "warning: no MNIST here that could be read or downloaded (see --data_dir): training on the"
      " embedded digits (--dataset=digits)",
      file=sys.stderr,
    )
  return name
