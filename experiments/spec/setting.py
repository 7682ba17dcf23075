"""What is known of one setting, and the choices that decide which settings a run has."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from experiments.spec.datasets import AUTO, DATASETS, Source
from experiments.spec.networks import ARCHITECTURES, CRITICS
from wgan_jax import LOSSES, OPTIMIZERS, PENALTIES, SCHEDULES, wasserstein_estimate

ROWS = {
  "dataset": DATASETS,
  "loss": LOSSES,
  "penalty": PENALTIES,
  "critic": CRITICS,
  "architecture": ARCHITECTURES,
  "optimizer": OPTIMIZERS,
  "schedule": SCHEDULES,
  "fixed_generator": {False: False, True: True},
}
"""For each field of `Choices`, the rows by name."""


class Choices(NamedTuple):
  """The settings that decide which others a run has, and their defaults."""

  dataset: str
  loss: str
  penalty: str
  critic: str = "plain"
  architecture: str | None = None
  optimizer: str | None = None
  schedule: str | None = None
  fixed_generator: bool | None = None

  def row(self, name: str) -> Any:
    """The row of one of these settings, such as a `wgan_jax.Penalty`."""
    value = getattr(self, name)
    return ROWS[name][AUTO[0] if value == "auto" else value]

  @property
  def data(self) -> Source:
    """The row of the data set."""
    return self.row("dataset")

  @property
  def is_wasserstein(self) -> bool:
    """Whether the loss estimates the Wasserstein distance, of a critic that is kept Lipschitz."""
    penalty = self.row("penalty")
    soft = penalty.cost is not None or penalty.project is not None
    return self.row("loss").estimate is wasserstein_estimate and (soft or self.is_by_construction)

  @property
  def is_by_construction(self) -> bool:
    """Whether the critic is 1-Lipschitz whatever its parameters."""
    return self.row("critic") is not None

  @property
  def is_unclipped_wasserstein(self) -> bool:
    """Whether that critic is kept Lipschitz by a penalty of its gradients, or by construction."""
    return self.is_wasserstein and self.row("penalty").project is None


class Setting(NamedTuple):
  """What is known of one field of `Settings`.

  Attributes:
    help: the flag's help.
    default: a value, or a function of the `Choices`.
    low: the least value of a number.
    high: the largest value of a number.
    choices: the values of a string; a mapping if they stand for rows.
    of: the field of `Choices` that decides whether the setting means something; None: it always
      does.
    applies: asks the row of that choice whether it does.
    otherwise: the value where it does not.
    optional: whether it may be left out where it means something; it is None then.
    before: the value of runs recorded before there was the setting; None: every record holds it,
      where it means something.
    read: reads a string in the one form that a record holds, or raises ValueError.
    derived: whether the data decide it, so that it has no flag.
    named: whether it is part of a run's name where it is no default.
  """

  help: str
  default: Any = None
  low: float | None = None
  high: float | None = None
  choices: Collection[str] = ()
  of: str | None = None
  applies: Callable[[Any], bool] | None = None
  otherwise: Any = None
  optional: bool = False
  before: Any = None
  read: Callable[[str], str] | None = None
  derived: bool = False
  named: bool = True

  def is_set(self, choices: Choices) -> bool:
    """Whether the setting means something with these choices."""
    return self.of is None or self.applies(choices.row(self.of))

  def value(self, choices: Choices) -> Any:
    """The value with these choices, unless a user gives one."""
    if not self.is_set(choices):
      return self.otherwise
    return self.default(choices) if callable(self.default) else self.default

  def check_value(self, name: str, value: Any, types: tuple[type, ...]) -> None:
    """Refuses a value of another type, an unknown one, or one out of bounds.

    Raises:
      ValueError: names the setting.
    """
    # A bool is an int to isinstance.
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
      words = " or ".join("None" if each is type(None) else each.__name__ for each in types)
      raise ValueError(f"{name}={value!r} is not of type {words}")
    if value is None:
      return
    if self.choices and value not in self.choices:
      raise ValueError(f"{name}={value!r} is none of {', '.join(map(str, self.choices))}")
    if self.read is not None and self.read(value) != value:
      raise ValueError(f"{name}={value!r} is not in its recorded form")
    if self.low is not None and not self.low <= value <= self.high:  # Nor NaN.
      raise ValueError(f"{name}={value} is not between {self.low} and {self.high}")

  def check_use(self, name: str, value: Any, choices: Choices) -> None:
    """Refuses a value of a setting that means nothing with these choices, and a missing one.

    Raises:
      ValueError: names the setting and the choice that decides.
    """
    if self.is_set(choices):
      if value is None and not self.optional:
        raise ValueError(f"{name}=None, but {self.of}={getattr(choices, self.of)} needs it")
    elif value != self.otherwise:
      raise ValueError(f"{name}={value} does nothing with {self.of}={getattr(choices, self.of)}")
