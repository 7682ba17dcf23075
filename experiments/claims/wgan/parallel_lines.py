"""Wasserstein GAN, figure 1: two parallel segments, and which divergences see how far apart."""

import math

import numpy as np
import scipy.special

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import make_panels, mark, picture
from experiments.claims.summary import by_column, span
from wgan_jax.transport import jensen_shannon, wasserstein_exact

_NEAREST = 0.001  # The smallest offset that is not 0.


def _measure(lab, *, offsets, heights):
  theta = np.union1d(np.linspace(-1.0, 1.0, offsets), [-_NEAREST, 0.0, _NEAREST])
  y = (np.arange(heights) + 0.5) / heights
  table = []
  for offset in theta:
    # A segment's mass on cells: lines of x at all offsets, and heights of y.
    p, q = (np.outer(theta == x, np.full(heights, 1 / heights)) for x in (0.0, offset))
    at_zero, shifted = (np.column_stack([np.full(heights, x), y]) for x in (0.0, offset))
    row = {"theta": float(offset), "wasserstein": wasserstein_exact(at_zero, shifted)}
    row |= {"jensen_shannon": float(jensen_shannon(p.ravel(), q.ravel()))}
    row |= {"total_variation": float(np.abs(p - q).sum() / 2)}
    table.append(row | {"kl_infinite": bool(np.isinf(scipy.special.rel_entr(p, q).sum()))})
  numbers = by_column(table)
  return Evidence(numbers, table, [_draw(numbers)])


def _criterion(numbers):
  theta, distance, divergence, variation, infinite = map(np.array, numbers.values())
  apart = theta != 0
  off = np.abs(distance - np.abs(theta)).max()
  ceiling_off = np.abs(divergence[apart] - math.log(2)).max()
  at_zero = np.abs([divergence[~apart], variation[~apart]]).max()
  variation_off = np.abs(variation[apart] - 1).max()
  exact = np.max([off, at_zero, variation_off]) < 1e-6 and ceiling_off < 1e-5
  nearest = np.abs(theta[apart]).min()
  at = np.abs(theta) == nearest
  return verdict(
    exact and (infinite == apart).all(),
    f"W1 is |theta| to {off:.2g}; Jensen-Shannon is {divergence[at].mean():.4f} at |theta| ="
    f" {nearest:g} already and log 2 = 0.6931 to {ceiling_off:.2g} everywhere but at 0, where it is"
    f" {divergence[~apart].max():.2g}; total variation {span(variation[apart], '.4g')}; KL infinite"
    f" at {infinite[apart].sum()} of {apart.sum()} offsets.",
  )


def _draw(numbers):
  figure, (left, right) = make_panels(1, 2, size=(8.5, 3.4))
  theta, divergence = np.array(numbers["theta"]), np.array(numbers["jensen_shannon"])
  left.plot(theta, numbers["wasserstein"], ".-", label="W1")
  left.set(ylabel="Earth Mover's Distance")
  apart = theta != 0
  # No line through 0: the divergence jumps there.
  for side in (theta < 0, theta > 0):
    right.plot(theta[side], divergence[side], ".-", color="tab:red")
  right.plot(theta[~apart], divergence[~apart], ".", color="tab:red", label="Jensen-Shannon")
  mark(right, y=math.log(2), label="log 2")
  right.set(ylabel="Jensen-Shannon (nats)", ylim=(-0.05, 0.8))
  figure.supxlabel("theta, offset of the segments")
  return picture(figure, "Two parallel segments of length 1 at offset theta; exact, no seeds.")


CLAIM = Claim(
  _measure, _criterion, name="parallel_lines", place=1,
  source="Wasserstein GAN, example 1 and figure 1",
  sentence="Of two parallel segments at offset theta the Earth Mover's Distance is |theta|, while"
  " Jensen-Shannon is log 2, KL infinite and total variation 1 for every theta but 0: only the"
  " first is continuous, with a slope that leads them together.",
  settings="Segments x = 0 and x = theta, y uniform on [0, 1], as equal masses.",
  criterion_text="W1 = |theta| to 1e-6; for theta other than 0 Jensen-Shannon is log 2 to 1e-5,"
  " total variation 1 to 1e-6 and KL infinite; at 0 the first two are 0 to 1e-6 and KL is finite.",
  quick=dict(offsets=41, heights=100), full=dict(offsets=101, heights=400),
  tiny=dict(offsets=3, heights=4), minutes=dict(quick=0.1, full=0.1),
)  # fmt: skip
