"""WGAN, section 4: a clipped critic can blow up with Adam's momentum, and a cosine shows it."""

import functools

import jax
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import lines_by_seed, make_panels, mark, picture
from experiments.claims.summary import even_steps
from wgan_jax.config import Hparams
from wgan_jax.diagnostics import update_cosine
from wgan_jax.objectives import make_objectives
from wgan_jax.training import make_optimizer

# The cosine does not depend on the learning rate, so those of the runs are not needed for it.
_HPARAMS = {"adam": Hparams(beta1=0.9, beta2=0.999), "rmsprop": Hparams(beta1=0.0, beta2=0.99)}
_WORDS = {"adam": "Adam, betas (0.9, 0.999)", "rmsprop": "RMSProp"}


def _measure(lab, *, seeds, steps, width, batch_size, learning_rates):
  data, at = lab.load("digits"), even_steps(steps, 30)
  numbers, table, estimates = {}, [], {}
  choices = {"loss": "wasserstein", "penalty": "clip", "width": width, "batch_size": batch_size}
  choices["learning_rate"] = tuple(learning_rates)
  for optimizer, words in _WORDS.items():
    betas = {"beta1": 0.9, "beta2": 0.999} if optimizer == "adam" else {}
    runs = lab.settings("digits", seeds, optimizer=optimizer, **choices, **betas)
    look = functools.partial(_look, runs[0].config(), runs[0].networks(), data.sample_real)
    observed = lab.observe_settings(runs, at, look)
    cosines, alive = observed.seen["cosine"], observed.alive
    estimates[optimizer] = np.where(alive[:, None], observed.info.estimate, np.nan)
    numbers[optimizer] = {
      "largest_change": np.abs(np.diff(observed.info.estimate)).max(1, initial=0).tolist(),
      "learning_rate": [run.learning_rate for run in runs],
      "least_cosine": cosines.min(1).tolist(),
      "share_of_negative_cosines": (cosines < 0).mean(1).tolist(),
      "cosines": cosines.tolist(),
      "finite": alive.tolist(),
    }
    shown = ("least_cosine", "share_of_negative_cosines", "largest_change")
    for i, run in enumerate(runs):
      row = {"optimiser": words, "learning rate": f"{run.learning_rate:g}", "seed": run.seed}
      table.append(row | {name: numbers[optimizer][name][i] for name in shown})
  return Evidence(numbers, table, [_draw(at, numbers, estimates, learning_rates, seeds)])


def _look(config, networks, sample_real, key, state, data):
  """Computes the cosine of the critic optimiser's next step with the negative gradient."""
  key_real, key_latents, key_epsilon = jax.random.split(key, 3)
  real = sample_real(key_real, data, config.batch_size)
  latents = jax.random.normal(key_latents, (config.batch_size, networks.latent_dim))
  fake, _ = networks.generator.apply(state.generator_params, state.batch_stats, latents, train=True)
  loss = make_objectives(config.loss_row, config.penalty_row, networks).critic
  gradients, _ = jax.grad(loss, has_aux=True)(state.critic_params, key_epsilon, real, fake, 0.0)
  optimizer = make_optimizer(config, _HPARAMS[config.optimizer])
  updates, _ = optimizer.update(gradients, state.critic_opt_state, state.critic_params)
  return {"cosine": update_cosine(updates, gradients)}


def _criterion(numbers):
  adam, rmsprop = numbers["adam"], numbers["rmsprop"]
  fastest = np.array(adam["learning_rate"]) == max(adam["learning_rate"])
  least = np.array(adam["least_cosine"])[fastest]
  blown_up = ~np.array(adam["finite"])[fastest]
  shares = [float(np.mean(own["share_of_negative_cosines"])) for own in (adam, rmsprop)]
  changes = [float(np.mean(np.array(own["largest_change"])[fastest])) for own in (adam, rmsprop)]
  unstable = blown_up.any() or changes[0] > 2 * changes[1]
  holds = bool(np.all((least < 0) | blown_up)) and shares[1] < 0.05 and shares[0] > 2 * shares[1]
  return verdict(
    bool(holds and unstable),
    f"Share of cosines below 0, all runs: Adam {shares[0]:.2f}, RMSProp {shares[1]:.2f}. At the"
    f" larger learning rate Adam's least cosine is {least.max():.2f} or below in every seed, its"
    f" estimate jumps by up to {changes[0]:.2g} in a step, RMSProp's by up to {changes[1]:.2g},"
    f" means of the seeds, and {int(blown_up.sum())} of {len(blown_up)} turned non-finite.",
  )


def _draw(at, numbers, estimates, learning_rates, seeds):
  figure, panels = make_panels(2, len(_WORDS), size=(10, 5.6), sharex=True)
  for column, (optimizer, words) in enumerate(_WORDS.items()):
    upper, lower = panels[:, column]
    for i, rate in enumerate(learning_rates):
      same = slice(i * seeds, (i + 1) * seeds)
      style = {"label": f"learning rate {rate:g}", "color": f"C{i}", "alpha": 0.8}
      lines_by_seed(upper, at, numbers[optimizer]["cosines"][same], **style)
      lines_by_seed(lower, range(1, at[-1] + 1), estimates[optimizer][same], **style)
    mark(upper, y=0)
    upper.set(title=words, ylim=(-1, 1))
    lower.set_yscale("symlog", linthresh=1e-3)
  panels[0, 0].set_ylabel("cosine of step\nand negative gradient")
  panels[1, 0].set_ylabel("Wasserstein estimate\n(units of score)")
  figure.supxlabel("step (generator updates)")
  caption = f"The critic's next step on a fresh batch, and its estimate; {seeds} seeds."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="adam_instability", place=5, source="WGAN, section 4",
  sentence="With momentum, as in Adam, training a clipped critic can become unstable, and then the"
  " cosine between Adam's step and the gradient turns negative; RMSProp does well.",
  settings="Embedded digits, DCGAN, clipping at 0.01; Adam (0.9, 0.999) and RMSProp, at 5e-5 and 20"
  " times that. The cosine is of the critic's next step on a fresh batch, at 30 looks.",
  criterion_text="At the larger rate a seed with Adam turns non-finite, or its estimate's largest"
  " change in a step is on average over twice RMSProp's; every seed with Adam has a negative cosine"
  " or turns non-finite; under 5 % of RMSProp's cosines are negative, over twice that of Adam's.",
  quick=dict(seeds=2, steps=300, width=16, batch_size=64, learning_rates=[5e-5, 1e-3]),
  full=dict(seeds=5, steps=10000, width=64),
  tiny=dict(seeds=1, steps=3, width=2, batch_size=4, learning_rates=[1e-4, 1e-3]),
  minutes=dict(quick=1.8, full=20),
)  # fmt: skip
