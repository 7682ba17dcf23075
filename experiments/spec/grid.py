"""The grid of a sweep: which combinations of values there are, and methods that stand for some."""

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from experiments.host.errors import UserError
from experiments.spec import choosing
from experiments.spec.setting import Choices
from experiments.spec.settings import SETTINGS, Settings
from wgan_jax import LOSSES, PENALTIES
from wgan_jax.constraints import CONSTRAINTS

METHODS = {
  **{loss: (loss, "none", "plain") for loss in LOSSES if loss != "wasserstein"},
  **{name: (penalty.loss, name, "plain") for name, penalty in PENALTIES.items()},
  **{name: ("wasserstein", "none", name) for name in CONSTRAINTS},
}
"""Whole methods by name, each a loss, a penalty and a kind of critic.

A name is that of a loss alone, of a penalty with the loss of its source, or of a critic that is
1-Lipschitz by construction, with the Wasserstein loss.
"""


def method_name(run: Settings) -> str:
  """Names the method of a run, one of `METHODS`."""
  names = {method: name for name, method in METHODS.items()}
  return names[run.loss, run.penalty, run.critic]


class Grid:
  """All combinations of chosen values that mean something: clip values belong to clipping.

  Args:
    dataset: decides the defaults.
    choices: values by flag name; each method has its default for a name that is left out. `methods`
      stands for a `loss`, a `penalty` and a `critic`.
    steps: the length of the runs, over which learning rates fall unless `decay_steps` is chosen.

  Attributes:
    size: the number of settings for one seed.

  Raises:
    UserError: a value was chosen that does nothing with any of the methods.
  """

  def __init__(self, dataset: str, choices: dict[str, tuple], steps: int | None = None):
    combinations = list(_combinations(dataset, choices))
    for name in choices:
      if name != "methods" and not any(SETTINGS[name].is_set(each) for each in combinations):
        of = SETTINGS[name].of
        there = ",".join(dict.fromkeys(str(getattr(each, of)) for each in combinations))
        raise UserError(f"--{name} does nothing with --{of}={there}: leave it out")
    self._axes = [_axes(each, {"decay_steps": (steps,)} | choices) for each in combinations]
    self.size = sum(math.prod(map(len, axes.values())) for axes in self._axes)

  def settings(self, seeds: Iterable[int]) -> list[Settings]:
    """Lists the settings of every combination and seed, the seeds of a combination in a row.

    Raises:
      UserError: a value does nothing with another one.
    """
    try:
      return [
        Settings(seed=seed, **dict(zip(axes, values, strict=True)))
        for axes in self._axes
        for values in itertools.product(*axes.values())
        for seed in seeds
      ]
    except ValueError as error:
      raise UserError(f"--{error}: leave it out") from error


def grouped(members: Iterable, key: Callable[[Any], Hashable]) -> dict[Any, list]:
  """Groups members by a key, in the order in which the keys appear."""
  groups = {}
  for member in members:
    groups.setdefault(key(member), []).append(member)
  return groups


def _combinations(dataset: str, choices: dict[str, tuple]) -> Iterator[Choices]:
  """Yields the choices that decide which other values mean something."""
  if "methods" in choices:
    methods = [METHODS[name] for name in choices["methods"]]
  else:
    losses, critics = (choices.get(name, (SETTINGS[name].default,)) for name in ("loss", "critic"))
    methods = [
      (loss, penalty, critic)
      for loss, critic in itertools.product(losses, critics)
      for penalty in choices.get("penalty", (choosing.penalty(critic),))
    ]
  others = (choices.get(name, (None,)) for name in Choices._fields[4:])
  for method, *rest in itertools.product(methods, *others):
    yield _filled(Choices(dataset, *method, *rest))


def _filled(choices: Choices) -> Choices:
  """Fills in the choices that were left open.

  Raises:
    UserError: the architecture does not draw such data.
  """
  for name in Choices._fields:
    if getattr(choices, name) is None:
      choices = choices._replace(**{name: SETTINGS[name].value(choices)})
  kinds = choices.row("architecture").kinds
  if choices.data.kind not in kinds:
    raise UserError(
      f"--architecture={choices.architecture} draws {' and '.join(kinds)}: leave it out with"
      f" --dataset={choices.dataset}"
    )
  return choices


def _axes(combination: Choices, choices: dict[str, tuple]) -> dict[str, tuple]:
  """By setting, the values that one combination has."""
  axes = {}
  for name, setting in SETTINGS.items():
    if name in Choices._fields:
      axes[name] = (getattr(combination, name),)
    elif name != "seed":
      chosen = choices.get(name) if setting.is_set(combination) else None
      axes[name] = chosen or (setting.value(combination),)
  return axes
