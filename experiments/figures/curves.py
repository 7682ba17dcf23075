"""Curves of a run's metrics."""

import math
import pathlib

from matplotlib.figure import Figure

from experiments.figures.pictures import render
from experiments.host.files import write_bytes
from wgan_jax.diagnostics import generator_losses
from wgan_jax.losses import LOSSES

_PANELS = [
  (
    "Wasserstein estimate, and the distance",
    "E c(x) - E c(g(z)); W1",
    ["wasserstein_estimate", "exact_wasserstein", "certified_wasserstein", "true_wasserstein"],
  ),
  ("Jensen-Shannon estimate", "divergence (nats)", ["jensen_shannon_estimate"]),
  ("total variation estimate", LOSSES["hinge"].unit, ["total_variation_estimate"]),
  ("relativistic estimate", LOSSES["relativistic_average"].unit, ["relativistic_estimate"]),
  ("sliced distance, samples to held out", "SW1", ["sliced_wasserstein"]),
  ("modes found", "modes", ["n_modes"]),
  ("quality of modes", "share; nats", ["high_quality", "reverse_kl"]),
  ("classes found", "classes", ["n_classes"]),
  ("classifier Fréchet distance", "squared features", ["frechet"]),
  ("precision and recall; KL of classes", "share; nats", ["precision", "recall", "class_kl"]),
  ("gradient norms on x_hat", "gradient norm", ["gradient_norm_mean", "gradient_norm_max"]),
  ("gradient penalty, without lambda", "penalty", ["gradient_penalty"]),
  ("losses, both minimised", "loss", ["critic_loss", "generator_loss"]),
  ("Lipschitz constant of the critic", "slope", ["gradient_norm_found", "lipschitz_bound"]),
  (
    "generator's gradient by loss",
    "norm",
    [f"generator_gradient_{loss}" for loss in generator_losses()],
  ),
  ("cosines", "cosine", ["gradient_cosine", "update_cosine"]),
  ("weights at the clipping bound", "share", ["clipped_share"]),
]


def draw_curves(path: pathlib.Path, rows: list[dict], title: str) -> None:
  """Draws the metrics of a run against its steps, each panel what one reads together.

  Args:
    path: the PNG to write.
    rows: lines of metrics.jsonl.
    title: stands above the panels.
  """
  names = {name for row in rows for name in row}
  panels = [
    (head, label, [name for name in wanted if name in names]) for head, label, wanted in _PANELS
  ]
  panels = [panel for panel in panels if panel[2]]
  n_rows = math.ceil(len(panels) / 2)
  height = 3.2 * n_rows
  figure = Figure(figsize=(10, height))
  figure.suptitle(title, fontsize=10, y=1 - 0.1 / height, va="top")
  figure.subplots_adjust(
    left=0.08, right=0.98, bottom=0.5 / height, top=1 - 0.65 / height, wspace=0.22, hspace=0.42
  )
  for place, (head, label, shown) in enumerate(panels, 1):
    axes = figure.add_subplot(n_rows, 2, place)
    for name in [each for base in shown for each in (base, f"held_out_{base}")]:
      points = [(row["step"], row[name]) for row in rows if name in row]
      if points:
        marker = "." if len(points) == 1 else None
        words = name.replace("_", " ")
        axes.plot(*zip(*points, strict=True), label=words, linewidth=1.2, marker=marker)
    if head.startswith("gradient norms"):
      axes.axhline(1, color="gray", linewidth=0.8, linestyle=":")
    axes.set(title=head, xlabel="step (generator updates)", ylabel=label)
    axes.legend(fontsize=7)
  write_bytes(path, render(figure))
