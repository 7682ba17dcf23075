"""The grid of a sweep: which combinations of values there are."""

import itertools
import math
from collections.abc import Iterable, Iterator

from experiments.harness.errors import UserError
from experiments.harness.settings import Settings, method_defaults


class Grid:
  """All combinations of chosen values that mean something: clip values belong to clipping.

  Attributes:
    size: how many settings it has for one seed.

  Raises:
    UserError: a value was chosen that does nothing with any of the methods.
  """

  def __init__(self, choices: dict[str, tuple]):
    self._axes = list(_axes_of_methods(choices))
    for name in choices:
      if all(axes[name] == (None,) for axes in self._axes):
        of = "optimizer" if name == "beta1" else "penalty"
        there = ",".join(dict.fromkeys(value for axes in self._axes for value in axes[of]))
        raise UserError(f"--{name} does nothing with --{of}={there}: leave it out")
    self.size = sum(math.prod(map(len, axes.values())) for axes in self._axes)

  def settings(self, dataset: str, seeds: Iterable[int]) -> list[Settings]:
    """One for each combination and seed; the seeds of a combination follow each other."""
    return [
      Settings(dataset=dataset, seed=seed, **dict(zip(axes, values, strict=True)))
      for axes in self._axes
      for values in itertools.product(*axes.values())
      for seed in seeds
    ]


def _axes_of_methods(choices: dict[str, tuple]) -> Iterator[dict[str, tuple]]:
  """For each method the values of all settings, by name."""
  names = ("loss", "penalty", "architecture", "optimizer")
  for method in itertools.product(*(choices.get(name, (None,)) for name in names)):
    loss, penalty, architecture, optimizer = method
    defaults = method_defaults(loss, penalty, optimizer, architecture)
    own = {
      name: (default,) if default is None else choices.get(name, (default,))
      for name, default in defaults.items()
    }
    own |= {"loss": (loss,), "penalty": (penalty,), "architecture": (architecture,)}
    yield own | {"optimizer": (defaults["optimizer"],)}
