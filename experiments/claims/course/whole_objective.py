"""Course, row 11: min over g, max over c of E c(x) - E c(g(z)) - lambda times the penalty."""

import jax.numpy as jnp
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import image_grids, lines_by_seed, make_panels, mark, picture
from experiments.claims.summary import arrays, even_steps, rows_by_seed
from experiments.measures.samples import sliced_distance
from wgan_jax.training import generate

_LOGGED = ("estimate", "gradient_penalty", "critic_loss", "gradient_norm_mean")


def _measure(lab, *, seeds, dataset, steps, width):
  runs = lab.settings(dataset, seeds, methods="gp", width=width)
  networks, lambda_gp = runs[0].networks(), float(runs[0].lambda_gp)

  def look(key, state, held_out):
    samples = generate(networks, state, key, len(held_out))
    return {"sliced": sliced_distance(samples, held_out), "samples": samples[:64]}

  at = [0, *even_steps(steps, 10)]
  watched = lab.observe_settings(runs, at, look, jnp.asarray(lab.load(dataset).held_out))
  info = {name: np.asarray(getattr(watched.info, name), np.float64) for name in _LOGGED}
  penalty = lambda_gp * info["gradient_penalty"]
  size = np.abs(info["estimate"]) + penalty + 1e-3
  off = np.abs(info["critic_loss"] - (-info["estimate"] + penalty)) / size
  numbers = {
    "at": at,
    "lambda_gp": lambda_gp,
    "off": off.max(1).tolist(),
    "penalty_share": (penalty / size).mean(1).tolist(),
    "sliced": watched.seen["sliced"].tolist(),
    "norm": info["gradient_norm_mean"][:, -max(1, steps // 5) :].mean(1).tolist(),
    "finished": watched.alive.tolist(),
  }
  ends = {f"sliced at look {i}": watched.seen["sliced"][:, i] for i in (0, len(at) - 1)}
  table = rows_by_seed({}, {"off": numbers["off"], "norm": numbers["norm"]} | ends)
  title = f"{dataset}, {steps:,} generator updates"
  shown = {f"after {at[i]:,} updates": watched.seen["samples"][0, i] for i in (0, -1)}
  samples = f"64 samples of seed 0 at the start and the end: {title}."
  pictures = [_draw(info, numbers, title), image_grids(shown, samples, size=(8, 4.3))]
  return Evidence(numbers, table, pictures)


def _criterion(numbers):
  off, norm, sliced = arrays(numbers, "off", "norm", "sliced")
  finished, penalty = arrays(numbers, "finished", "penalty_share")
  share = sliced[:, -1] / sliced[:, 0]
  whole = finished & (off < 1e-5) & (penalty > 1e-3)
  return verdict(
    np.all(whole & (share < 0.5) & (norm > 0.8) & (norm < 1.25)),
    f"The critic's loss is -(estimate) + {numbers['lambda_gp']:g} x penalty to {off.max():.1g} at"
    f" every step; the sliced distance falls to {share.min():.2f} to {share.max():.2f} of its"
    f" start; the mean norm on x_hat ends at {norm.min():.2f} to {norm.max():.2f}.",
  )


def _draw(info, numbers, title):
  figure, (first, second, third) = make_panels(1, 3, size=(11, 3.5))
  steps, lambda_gp = np.arange(1, info["estimate"].shape[1] + 1), numbers["lambda_gp"]
  lines_by_seed(first, steps, info["critic_loss"], "critic loss", color="black", linewidth=2)
  lines_by_seed(first, steps, -info["estimate"], "-(estimate)", color="tab:blue")
  penalty = lambda_gp * info["gradient_penalty"]
  lines_by_seed(first, steps, penalty, f"{lambda_gp:g} x penalty", color="tab:red")
  lines_by_seed(second, numbers["at"], numbers["sliced"], marker=".-")
  lines_by_seed(third, steps, info["gradient_norm_mean"])
  mark(third, y=1)
  first.set(ylabel="score", yscale="symlog")
  second.set(ylabel="sliced distance to held out (SW1)", ylim=(0, None))
  third.set(ylabel="mean gradient norm on x_hat")
  figure.supxlabel("generator updates")
  caption = f"{title}, {len(numbers['off'])} seeds; left, the critic's loss and its parts."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="whole_objective", place=11,
  source="Course, row 11; WGAN-GP, equation 3",
  sentence="The generator minimises and the critic maximises E c(x) - E c(g(z)) - lambda E (||grad"
  " c(x_hat)|| - 1)^2, and so trained samples come nearer to the data.",
  settings="What `python -m experiments.mnist --penalty=gp` trains, at another width and length."
  " The course prints a plus before lambda under the maximum; the penalty is subtracted.",
  criterion_text="Every seed: at each step the logged critic loss is -(estimate) + lambda x penalty"
  " to 1e-5, the penalty over 1e-3 of it; the sliced distance to held-out data falls below half its"
  " start; the mean norm on x_hat, over the last fifth, is within 0.8 and 1.25.",
  quick=dict(seeds=2, dataset="digits", steps=1200, width=16),
  full=dict(seeds=3, dataset="mnist", steps=20_000, width=64), tiny=dict(seeds=1, steps=2, width=1),
  minutes=dict(quick=2.4, full=15.0),
)  # fmt: skip
