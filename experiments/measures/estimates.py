"""Rows of each loss's estimate, on training batches and on held-out data."""

import jax

from experiments.measures.rows import CRITICS, Measure, Run, View
from experiments.measures.samples import fake
from experiments.measures.training import mean_of
from wgan_jax.losses import LOSSES, wasserstein_estimate

# By name of the estimate: title, short name, label, and the meaning of the held-out estimate.
_ESTIMATES = {
  "wasserstein_estimate": (
    "Wasserstein estimate",
    "W",
    "E c(x) - E c(g(z))",
    "The critic's estimate on data that it was not trained on. It is in units of the critic's own"
    " slope: between clip values, or between clipping and a penalty, its sizes do not compare.",
  ),
  "jensen_shannon_estimate": (
    "Jensen-Shannon estimate",
    "JS",
    "nats",
    "At most log 2 = 0.693, where the discriminator is sure.",
  ),
}


def estimates() -> list[Measure]:
  """Two rows for each estimate: of the steps, and of held-out data against samples."""
  found = {}
  for loss in LOSSES.values():
    name = loss.estimate_name
    words = name.replace("_", " ")
    title, short, label, meaning = _ESTIMATES.get(
      name, (words, words.removesuffix(" estimate"), loss.unit, "On data that are held out.")
    )
    panel = title + ", and the distance" * (name == "wasserstein_estimate")

    def applies(run: Run, name=name) -> bool:
      return run.config.loss_row.estimate_name == name

    row = Measure(name, title, label, panel=panel, short=short, applies=applies)
    found[name] = row._replace(of_steps=mean_of("estimate"))
    found[f"held_out_{name}"] = row._replace(
      name=f"held_out_{name}",
      title=f"held-out {title}",
      meaning=meaning,
      group=CRITICS,
      short=f"held-out {short}",
      compute=_held_out_estimate,
    )
  return list(found.values())


def difference(view: View) -> jax.Array:
  """Difference of the critic's mean scores of held-out data and `fake`, []."""
  return wasserstein_estimate(*view.once(_scores))


def _scores(view: View) -> tuple[jax.Array, jax.Array]:
  scores = jax.vmap(view.critic_fn)
  return scores(view.held_out), scores(view.once(fake))


def _held_out_estimate(view: View) -> jax.Array:
  return view.run.config.loss_row.estimate(*view.once(_scores))
