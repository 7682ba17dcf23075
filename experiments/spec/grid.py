"""The grid of a sweep: which combinations of values there are."""

import itertools
import math
from collections.abc import Iterable, Iterator

from experiments.host.errors import UserError
from experiments.spec.datasets import POINTS
from experiments.spec.methods import METHODS, method_defaults
from experiments.spec.settings import Settings

_OF_FUNNELS = ("n_funnels", "data_seed")


class Grid:
  """All combinations of chosen values that mean something: clip values belong to clipping.

  Args:
    dataset: decides the defaults.
    choices: values by flag name; what is not there is left to each method.

  Attributes:
    size: how many settings it has for one seed.

  Raises:
    UserError: a value was chosen that does nothing with any of the methods.
  """

  def __init__(self, dataset: str, choices: dict[str, tuple]):
    self._dataset = dataset
    self._axes = list(_axes_of_methods(dataset, choices))
    for name in choices:
      if name != "methods" and all(axes[name] == (None,) for axes in self._axes):
        of = {"beta1": "optimizer", "depth": "architecture"}.get(name, "penalty")
        if name in ("latent_dim", *_OF_FUNNELS):
          raise UserError(f"--{name} does nothing with --dataset={dataset}: leave it out")
        there = ",".join(dict.fromkeys(value for axes in self._axes for value in axes[of]))
        raise UserError(f"--{name} does nothing with --{of}={there}: leave it out")
    self.size = sum(math.prod(map(len, axes.values())) for axes in self._axes)

  def settings(self, seeds: Iterable[int]) -> list[Settings]:
    """One for each combination and seed; the seeds of a combination follow each other."""
    return [
      Settings(dataset=self._dataset, seed=seed, **dict(zip(axes, values, strict=True)))
      for axes in self._axes
      for values in itertools.product(*axes.values())
      for seed in seeds
    ]


def _axes_of_methods(dataset: str, choices: dict[str, tuple]) -> Iterator[dict[str, tuple]]:
  """For each method the values of all settings, by name."""
  if "methods" in choices:
    methods = [METHODS[name] for name in choices["methods"]]
  else:
    methods = itertools.product(choices["loss"], choices["penalty"])
  others = (choices.get(name, (None,)) for name in ("architecture", "optimizer"))
  for (loss, penalty), architecture, optimizer in itertools.product(methods, *others):
    defaults = method_defaults(dataset, loss, penalty, optimizer, architecture)
    if defaults["architecture"] == "dcgan" and dataset in POINTS:
      raise UserError(f"--architecture=dcgan draws images: leave it out with --dataset={dataset}")
    own = {
      name: (default,) if default is None else choices.get(name, (default,))
      for name, default in defaults.items()
    }
    own |= {"loss": (loss,), "penalty": (penalty,)}
    yield own | {name: (defaults[name],) for name in ("architecture", "optimizer")}
