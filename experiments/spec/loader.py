"""Loads the data of many runs."""

from collections.abc import Callable

from experiments.spec.datasets import Dataset
from experiments.spec.settings import Settings


def make_loader(data_dir: str | None) -> Callable[[Settings], Dataset]:
  """Builds `load(settings) -> Dataset`, which loads the data of equal options once.

  Args:
    data_dir: TFDS folder of images; None for the usual one.
  """
  loaded = {}

  def load(settings):
    key = settings.dataset, *settings.data_options().items()
    if key not in loaded:
      loaded[key] = settings.load(data_dir)
    return loaded[key]

  return load
