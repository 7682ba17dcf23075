"""The picture of an evaluation: samples, classes, and how a critic's layers behave."""

import itertools
import math
import pathlib

import chex
import jax
import numpy as np
from matplotlib.figure import Figure

from experiments.figures.pictures import render
from experiments.figures.samples import compose_grid, fill_points
from experiments.host.files import write_bytes
from experiments.measures.draws import Snapshot
from experiments.spec.dataset import Dataset


def draw_evaluation(
  path: pathlib.Path,
  title: str,
  snapshot: Snapshot,
  dataset: Dataset,
  shares: dict[str, np.ndarray] | None,
  critic: dict,
  params: chex.ArrayTree | None,
) -> None:
  """Draws the panels that apply: samples, classes, and the critic's layers and parameters.

  Args:
    path: the PNG to write.
    title: title of the figure.
    snapshot: samples, and the critic's level sets.
    dataset: their data set.
    shares: shares of the classes by their source, each [classes]; None without classes.
    critic: the critic's measures; its layers are drawn from "activation_gradient_norms", if there.
    params: the critic's parameters, or None.
  """
  norms = critic.get("activation_gradient_norms")
  panels = 1 + sum(part is not None for part in (shares, norms, params))
  rows, columns = math.ceil(panels / 2), min(panels, 2)
  figure = Figure(figsize=(5.2 * columns, 4.4 * rows), layout="constrained")
  figure.suptitle(title, fontsize=10)
  places = itertools.count(1)

  def panel(**labels):
    return figure.add_subplot(rows, columns, next(places), **labels)

  axes = panel()
  if dataset.images is None:
    fill_points(figure, axes, np.asarray(snapshot.samples), dataset, snapshot.levels)
  else:
    axes.imshow(compose_grid(np.asarray(snapshot.samples)), cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()
  if shares is not None:
    axes = panel(title="classes, by a classifier", xlabel="class", ylabel="share")
    for place, (name, each) in enumerate(shares.items()):
      if len(each) <= 10:
        axes.bar(np.arange(len(each)) + 0.4 * place - 0.2, each, 0.4, label=name)
        axes.set_xticks(range(len(each)))
      else:
        axes.plot(np.sort(each)[::-1], label=name)
        axes.set(xlabel="classes, from the most to the least frequent")
    axes.legend(fontsize=7)
  if norms is not None:
    axes = panel(title="gradient of the critic's loss", ylabel="norm")
    layers = range(1, len(norms) + 1)
    axes.semilogy(layers, norms, ".-")
    axes.set(xlabel="layer, input to output", xticks=layers)
  if params is not None:
    axes = panel(title="the critic's parameters", xlabel="value", ylabel="entries")
    axes.hist(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)]), 100, log=True)
  write_bytes(path, render(figure))
