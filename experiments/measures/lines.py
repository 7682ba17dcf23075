"""Lines of metrics: means over steps, and measurements of the state at the line."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from experiments.measures.classes import ClassifierMeasures
from experiments.measures.rows import SAMPLES, Measure, Run, View
from experiments.measures.table import all_rows
from experiments.spec.dataset import Dataset
from wgan_jax import Config, Pair, State


class LineMeasures(NamedTuple):
  """The measures of a run's lines, as functions; draws depend on the state's key and step alone.

  Attributes:
    fast: (state, hparams, train, held_out) -> {name: []}, to be jitted: what every line holds.
    slow: (state, hparams, train, held_out, classifier_params) -> arrays, to be jitted; the last are
      `ClassifierMeasures.params`, None without a classifier.
    finish: the arrays of `slow`, on the host -> the slow measures, {name: float}.
  """

  fast: Callable[..., dict[str, jax.Array]]
  slow: Callable[..., dict]
  finish: Callable[[dict], dict[str, float]]


def make_measures(
  config: Config, networks: Pair, dataset: Dataset, classifier: ClassifierMeasures | None = None
) -> LineMeasures:
  """Builds the measures that apply to a run.

  The exact distance, its certified lower bound and the critic's difference of mean scores are of
  the same two samples: those of the line's held-out estimate.

  Args:
    config: the run's static choices.
    networks: its networks.
    dataset: its data.
    classifier: the data set's classifier for slow measures of images; None without one.
  """
  labels = dataset.held_out_labels if networks.n_classes else None
  run = Run(config, networks, dataset, classifier, labels)
  rows = measured_rows(run)
  fast_rows = [row for row in rows if not row.slow]
  slow_rows = [row for row in rows if row.slow]

  def fast(state: State, hparams, train, held_out) -> dict[str, jax.Array]:
    return on_device(fast_rows, View(run, held_out, state, hparams, train))["scalars"]

  def slow(state: State, hparams, train, held_out, classifier_params) -> dict:
    view = View(run, held_out, state, hparams, train, classifier_params)
    return on_device(slow_rows, view)

  def finish(arrays: dict) -> dict[str, float]:
    return on_host(slow_rows, View(run, dataset.held_out), arrays)

  return LineMeasures(fast, slow, finish)


def summarise(steps: list[dict], config: Config) -> dict[str, float]:
  """Measures of the steps since the last line, by name; `steps` as `rows_of` gives them."""
  run = Run(config, None, None)
  return {
    row.name: row.of_steps(steps)
    for row in all_rows()
    if _from_steps(row, config) and row.applies(run)
  }


def measured_rows(run: Run) -> list[Measure]:
  """Measures that apply to a run, without those of its steps; of samples only without a config."""
  rows = all_rows()
  if run.config is None:
    rows = [row for row in rows if row.group == SAMPLES]
  return [row for row in rows if not _from_steps(row, run.config) and row.applies(run)]


def on_device(rows: Sequence[Measure], view: View) -> dict[str, Any]:
  """Traced part of measures: their scalars, and the arrays that the host needs.

  Args:
    rows: measures that apply to the view's run.
    view: on the device.

  Returns:
    The argument of `on_host`.
  """
  return {
    "scalars": {row.name: _value(row, row.compute, view) for row in rows if row.compute},
    "arrays": {name: view.once(function) for name, function in _needs(rows).items()},
  }


def on_host(rows: Sequence[Measure], view: View, found: dict[str, Any]) -> dict[str, float]:
  """Values of measures, by name.

  Args:
    rows: those that were given to `on_device`.
    view: on the host.
    found: what `on_device` returned, on the host.
  """
  fetched = {function: found["arrays"][name] for name, function in _needs(rows).items()}
  view.known.update(fetched)
  finished = {row.name: _value(row, row.finish, view) for row in rows if row.finish}
  values = found["scalars"] | finished
  return {row.name: float(values[row.name]) for row in rows}


def _value(row: Measure, function: Callable[[View], Any], view: View) -> Any:
  values = view.once(function)
  return values[row.name] if isinstance(values, dict) else values


def _needs(rows) -> dict[str, Callable[[View], Any]]:
  functions = [function for row in rows for function in row.needs]
  return {f"{each.__module__}.{each.__qualname__}": each for each in functions}


def _from_steps(row: Measure, config: Config | None) -> bool:
  return row.of_steps is not None and (row.compute is None or config.penalty_row.cost is not None)
