"""Course, row 5: a sure discriminator teaches the generator nothing; a critic goes on teaching."""

import jax
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import lines_by_seed, make_panels, picture
from experiments.claims.summary import by_seed, span
from wgan_jax.diagnostics import generator_gradient_norms

# By name: whose gradient, trained with which loss and penalty, and the colour of its curves.
_CURVES = {
  "minimax": ("nonsaturating", "none", "tab:red"),
  "nonsaturating": ("nonsaturating", "none", "tab:orange"),
  "wasserstein": ("wasserstein", "gp", "tab:blue"),
}


def _measure(lab, *, seeds, steps, width, dataset):
  at = sorted({round(steps * share) for share in (0, 0.01, 0.02, *np.linspace(0.05, 1, 20))})
  norms, estimates = {}, {}
  # Both cross-entropy losses are a generator's: their discriminator is the same.
  trained = {loss: penalty for loss, penalty, _ in _CURVES.values()}
  for loss, penalty in trained.items():
    choices = {"loss": loss, "penalty": penalty, "width": width}
    runs = lab.settings(dataset, seeds, n_critic=1, fixed_generator=True, **choices)
    networks = runs[0].networks()

    def look(key, state, data, networks=networks):
      latents = jax.random.normal(key, (64, networks.latent_dim))
      params = (state.critic_params, state.generator_params, state.batch_stats)
      return generator_gradient_norms(networks, *params, latents)

    found = lab.observe_settings(runs, at, look)
    for name, (trained_with, *_) in _CURVES.items():
      if trained_with == loss:
        norms[name] = found.seen[name].tolist()
    estimates[loss] = found.info.estimate[:, -1].tolist()
  numbers = {"updates": at, "norms": norms, "jensen_shannon": estimates["nonsaturating"]}
  numbers["wasserstein"] = estimates["wasserstein"]
  table = [
    {"updates": step}
    | {f"{name}, by seed": by_seed([own[i] for own in norms[name]], ".2g") for name in norms}
    for i, step in enumerate(at)
  ]
  return Evidence(numbers, table, [_draw(numbers, dataset)])


def _criterion(numbers):
  updates = np.array(numbers["updates"])
  norms = {name: np.array(values) for name, values in numbers["norms"].items()}
  half = int(np.abs(updates - updates[-1] / 2).argmin())
  early = int(np.abs(updates - updates[-1] / 20).argmin())
  last = {name: each[:, -1] for name, each in norms.items()}
  with np.errstate(divide="ignore", invalid="ignore"):  # A gradient may be 0.
    fall = norms["minimax"].max(1) / last["minimax"]
    apart = last["nonsaturating"] / last["minimax"]
    stays = last["nonsaturating"] / norms["nonsaturating"][:, early]
    levels = last["wasserstein"] / norms["wasserstein"][:, half]
    keeps = last["wasserstein"] / norms["wasserstein"][:, early]
  taught = (levels >= 0.5) & (levels <= 2) & (keeps >= 0.5)
  return verdict(
    np.all((fall >= 20) & (apart >= 500) & (stays >= 1) & taught),
    f"After {updates[-1]:,} updates of the discriminator (JS estimate"
    f" {span(numbers['jensen_shannon'])} of .693) the minimax gradient is {span(fall)} times"
    f" smaller than at its largest and {span(apart)} times smaller than the non-saturating one,"
    f" which is {span(stays)} times what it was after {updates[early]}; the Wasserstein gradient is"
    f" {span(levels)} times what it was after {updates[half]} (the least and the most of the"
    " seeds).",
  )


def _draw(numbers, dataset):
  figure, axes = make_panels(size=(6.4, 4))
  for name, (_, penalty, colour) in _CURVES.items():
    label = f"{name}, its critic with penalty" if penalty == "gp" else f"{name}, discriminator"
    rows = numbers["norms"][name]
    lines_by_seed(axes, numbers["updates"], rows, label, marker=".-", color=colour)
  axes.set(xlabel="updates of the critic", ylabel="generator's gradient norm", yscale="log")
  caption = f"{dataset}: each loss's gradient for a fixed generator; {len(rows)} seeds."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="vanishing_gradients", place=5, source="Course, row 5",
  sentence="As the discriminator improves its loss goes flat and the generator's gradient vanishes;"
  " a critic with the W-loss may improve without that harm.",
  settings="DCGAN, a generator fixed at its start, Adam 2e-4, batch 64, one critic update a step;"
  " gradients of 64 new latents. The course has no experiment for it.",
  criterion_text="In every seed: minimax's gradient ends at least 20 times below its largest and"
  " 500 times below the non-saturating one, which does not shrink after a 20th; the Wasserstein"
  " gradient ends within a factor of 2 of that half way, at least half of that after a 20th.",
  quick=dict(seeds=2, steps=1000, width=16, dataset="digits"),
  full=dict(seeds=5, steps=5000, width=64, dataset="mnist"), tiny=dict(seeds=1, steps=4, width=2),
  minutes=dict(quick=2, full=5.0),
)  # fmt: skip
