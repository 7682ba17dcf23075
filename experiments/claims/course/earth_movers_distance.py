"""Course, row 6: the Earth Mover's Distance has no ceiling and no flat region."""

import math

import numpy as np
import scipy.stats

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import legend_of_twins, make_panels, mark, picture
from experiments.claims.summary import arrays, by_column, span
from wgan_jax.transport import jensen_shannon, transport_plan

_CELLS = np.linspace(-4.0, 12.0, 321)


def _measure(lab, *, separations):
  shifts = np.linspace(0.0, 8.0, separations)
  p = scipy.stats.norm.pdf(_CELLS)
  table, plans = [], []
  for shift in shifts:
    q = scipy.stats.norm.pdf(_CELLS, loc=shift)
    plan = transport_plan(_CELLS[:, None], _CELLS[:, None], p, q)
    effort = float(np.sum(plan.plan * np.abs(_CELLS[:, None] - _CELLS[None])))
    row = {"separation": float(shift), "wasserstein": plan.distance}
    row |= {"amount_times_distance": effort, "jensen_shannon": float(jensen_shannon(p, q))}
    table.append(row)
    plans.append(plan.plan)
  numbers, middle = by_column(table), len(shifts) // 2
  return Evidence(numbers, table, [_draw_plan(shifts[middle], plans[middle]), _draw(numbers)])


def _criterion(numbers):
  separation, distance, divergence = arrays(numbers, "separation", "wasserstein", "jensen_shannon")
  off = np.abs(distance - separation).max()
  effort_off = np.abs(distance - numbers["amount_times_distance"]).max()
  slopes = np.diff(distance) / np.diff(separation)
  flat = np.diff(divergence)[-1] / np.diff(divergence).max()
  linear = off < 0.02 and effort_off < 1e-6 and np.abs(slopes - 1).max() < 0.02
  return verdict(
    linear and flat < 0.02 and divergence.max() <= math.log(2),
    f"W1 is the separation to {off:.2g}, its slope {span(slopes, '.3f')}; Jensen-Shannon ends at"
    f" {divergence[-1]:.3f} of log 2 = 0.693, its last slope {flat:.2g} of its steepest.",
  )


def _draw_plan(shift, plan):
  figure, (left, right) = make_panels(1, 2, size=(8.5, 3.8), width_ratios=(3, 2))
  p, q = plan.sum(1), plan.sum(0)
  left.fill_between(_CELLS, p, alpha=0.4, label="earth as it lies: N(0, 1)")
  left.fill_between(_CELLS, q, alpha=0.4, label=f"where it is wanted: N({shift:g}, 1)")
  # Heaps of earth at a few places, each carried to where the plan has it on average.
  heaps = [i for i in range(0, len(_CELLS), 10) if p[i] > 0.02 * p.max()]
  for height, i in zip(np.linspace(0.15, 0.85, len(heaps)), heaps, strict=True):
    carried = {"arrowstyle": "->", "lw": 150 * p[i]}
    y = height * p.max()
    left.annotate("", (plan[i] @ _CELLS / p[i], y), (_CELLS[i], y), arrowprops=carried)
  left.set(xlabel="x", ylabel="amount of earth in a cell of 0.05", xlim=(-4, shift + 4))
  coarse = plan[:320, :320].reshape(40, 8, 40, 8).sum((1, 3))
  extent = (_CELLS[0], _CELLS[-1]) * 2
  shown = right.imshow(coarse, origin="lower", extent=extent, cmap="Greys", aspect="equal")
  right.set(xlabel="to", ylabel="from", xlim=(-4, shift + 4), ylim=(-4, shift + 4))
  figure.colorbar(shown, ax=right, shrink=0.8, label="amount carried, cells of 0.4")
  caption = f"An optimal plan of several, of normal densities {shift:g} apart; exact, no seeds."
  return picture(figure, caption)


def _draw(numbers):
  figure, axes = make_panels(size=(6, 3.6))
  x, style = numbers["separation"], {"color": "tab:red", "label": "Jensen-Shannon"}
  axes.plot(x, numbers["wasserstein"], ".-", label="Earth Mover's Distance")
  axes.set(xlabel="separation of the means (standard deviations)", ylabel="W1")
  other = axes.twinx()
  other.plot(x, numbers["jensen_shannon"], ".-", **style)
  mark(other, y=math.log(2), label="log 2")
  other.set(ylabel="Jensen-Shannon divergence (nats)", ylim=(0, 0.8))
  legend_of_twins(axes, other)
  return picture(
    figure,
    "Two normal densities of equal variance, against the distance of their means; exact, no seeds.",
  )


CLAIM = Claim(
  _measure, _criterion, name="earth_movers_distance", place=6, source="Course, row 6",
  sentence="The Earth Mover's Distance between two normal densities, amount times distance, has no"
  " ceiling and no flat region, as the cross-entropy's divergence has.",
  settings="Densities of variance 1 on a grid of cells of 0.05, 0 to 8 apart; network simplex.",
  criterion_text="W1 equals the separation to 0.02 and the sum of amount x distance to 1e-6; its"
  " slope is 1 to 2 %; Jensen-Shannon stays below log 2, its last slope below 2 % of its steepest.",
  quick=dict(separations=17), full=dict(separations=33), tiny=dict(separations=3),
  minutes=dict(quick=0.1, full=0.5),
)  # fmt: skip
