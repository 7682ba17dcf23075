"""The row of a measure: how it is computed, and where it is shown."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from experiments.measures.draws import measuring_keys
from experiments.spec.dataset import Dataset
from wgan_jax import Config, CriticFn, Hparams, Pair, Params, State

SAMPLES, CRITICS, TRAINING = "Samples", "Critics", "Training"
"""The groups in which a sweep compares its members, each a table."""

BEST_BY = "sliced_wasserstein"
"""A run is at its best where this is smallest: of samples alone, whatever the loss and penalty."""


class Panel(NamedTuple):
  """A panel of a run's curves: the label of its axis, and a value to mark with a dotted line."""

  label: str
  marked: float | None = None


PANELS = {
  "Wasserstein estimate, and the distance": Panel("E c(x) - E c(g(z)); W1"),
  "Jensen-Shannon estimate": Panel("divergence (nats)"),
  "sliced distance, samples to held out": Panel("SW1"),
  "modes found": Panel("modes"),
  "quality of modes": Panel("share; nats"),
  "classes found": Panel("classes"),
  "classifier Fréchet distance": Panel("squared features"),
  "precision and recall; KL of classes": Panel("share; nats"),
  "gradient norms at the penalty's points": Panel("gradient norm", marked=1),
  "gradient penalty, without lambda": Panel("penalty"),
  "losses, both minimised": Panel("loss"),
  "Lipschitz constant of the critic": Panel("slope"),
  "generator's gradient by loss": Panel("norm"),
  "cosines": Panel("cosine"),
  "weights at the clipping bound": Panel("share"),
}
"""Panels by title, in the order in which they are drawn. A row may also name a new one."""


class Run(NamedTuple):
  """What is static of a run, or of an evaluation of samples, whose `config` and networks are None.

  Attributes:
    config: the static choices.
    networks: critic and generator.
    dataset: the data.
    classifier: the `ClassifierMeasures` of images; None without one.
    labels: for conditional networks the classes of the held-out samples, [n], and of the samples
      that are compared with them; None for others.
  """

  config: Config | None
  networks: Pair | None
  dataset: Dataset
  classifier: Any = None
  labels: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class View:
  """All that the measures of one line see.

  On the device its arrays are traced. On the host it has no state, and `known` holds what was
  fetched.

  Attributes:
    run: the run.
    held_out: held-out samples, [n, ...].
    state: the training state.
    hparams: its hyperparameters.
    train: the training data.
    classifier_params: the classifier's parameters, an argument of the program and no constant.
    known: results by function, which `once` fills.
  """

  run: Run
  held_out: chex.Array
  state: State | None = None
  hparams: Hparams | None = None
  train: chex.ArrayTree = None
  classifier_params: Params | None = None
  known: dict[Callable, Any] = dataclasses.field(default_factory=dict)

  def once(self, function: Callable[["View"], Any]) -> Any:
    """`function(self)`, computed once for all measures that share it."""
    if function not in self.known:
      self.known[function] = function(self)
    return self.known[function]

  @functools.cached_property
  def keys(self) -> dict[str, jax.Array]:
    """PRNG keys by purpose."""
    return measuring_keys(self.state)

  @property
  def critic_fn(self) -> CriticFn:
    """The critic, one sample [...] and its class, if it takes one, to one score []."""
    return lambda x, *label: self.run.networks.critic.apply(self.state.critic_params, x, *label)

  def labels(self, n: int) -> tuple[jax.Array, ...]:
    """The classes of the first n samples as arguments of a conditional network; none for others."""
    return () if self.run.labels is None else (jnp.asarray(self.run.labels[:n]),)

  def draw_real(self, key: jax.Array, n: int) -> tuple[jax.Array, ...]:
    """Draws n training samples, and their classes for conditional networks."""
    drawn = self.run.dataset.sample_real(key, self.train, n)
    return drawn if isinstance(drawn, tuple) else (drawn,)


class Measure(NamedTuple):
  """A measure: add one by adding its row to `rows()` of the module of its kind.

  A measure is computed in one of three ways: from the steps since the last line (`of_steps`), by
  one scalar on the device (`compute`), or on the host (`finish`). With both `of_steps` and
  `compute`, the steps are used if they take gradient norms. A function that several measures share
  is computed once, and returns their values by name.

  A measure of the group `SAMPLES` must use samples and held-out data only. It is then also
  computed for training data, where it gives a floor or a ceiling, and for samples from elsewhere.

  Attributes:
    name: its key in metrics.jsonl.
    title: its name in words.
    label: label of an axis, with the unit.
    meaning: what a reader of a report must know.
    group: the table in which a sweep compares it; None for no table.
    panel: title of the panel of a run's curves; None for no curve.
    order: order within the panel; rows of equal order stay as they stand.
    short: its name in the terminal; None if it is not shown there.
    slow: computed at lines with slow measures only.
    applies: whether a run has this measure.
    of_steps: metrics of the steps since the last line, one dict a step -> value.
    compute: view on the device -> scalar [], traced, or scalars by name.
    needs: functions of the view on the device, module-level, whose results `finish` finds by
      `once`.
    finish: view on the host -> value, in float64, or values by name. Slow measures only.
  """

  name: str
  title: str
  label: str
  meaning: str = ""
  group: str | None = None
  panel: str | None = None
  order: int = 0
  short: str | None = None
  slow: bool = False
  applies: Callable[[Run], bool] = lambda run: True
  of_steps: Callable[[list[dict]], float] | None = None
  compute: Callable[[View], jax.Array | dict[str, jax.Array]] | None = None
  needs: tuple[Callable[[View], chex.ArrayTree], ...] = ()
  finish: Callable[[View], float | dict[str, float]] | None = None
