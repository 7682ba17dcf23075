"""Course, row 7: the W-loss; a critic's difference of mean scores is the Earth Mover's Distance."""

import functools
import math

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import Claim, Evidence, Judgement, verdict
from experiments.claims.lab import Lab
from experiments.engine.observe import observe_settings
from experiments.figures.pictures import Picture, render
from experiments.spec.grid import Grid
from wgan_jax.layers import Dense
from wgan_jax.losses import LOSSES, wasserstein_critic_loss, wasserstein_estimate

_SETS = ("two_gaussians", "funnels")
_METHODS = {"gp": ("wasserstein", "W-loss"), "nonsaturating": ("nonsaturating", "cross-entropy")}
_N = 4096  # New samples of each side.
_N_LOOKS = 20


def _measure(lab: Lab, *, seeds: int, steps: int, width: int) -> Evidence:
  at = np.unique(np.linspace(0, steps, _N_LOOKS + 1).astype(int)).tolist()
  found = {name: _train(lab, name, seeds, at, steps, width) for name in _SETS}
  numbers = {"updates": at, "sets": {name: each["numbers"] for name, each in found.items()}}
  table = [
    {
      "data": name,
      "exact W1": each["exact"],
      "critic's estimate, by seed": ", ".join(f"{run[-1]:.3f}" for run in each["gp"]),
      "the same, real and fake swapped": ", ".join(f"{value:.3f}" for value in each["swapped"]),
      "critic's scores, all seeds": f"{min(each['lowest']):.1f} to {max(each['highest']):.1f}",
      "discriminator's JS estimate, by seed": ", ".join(
        f"{run[-1]:.3f}" for run in each["nonsaturating"]
      ),
    }
    for name, each in numbers["sets"].items()
  ]
  scores = found["two_gaussians"]["scores"]
  return Evidence(numbers, table, [_draw(numbers), _draw_scores(scores)])


def _train(lab, name, seeds, at, steps, width) -> dict:
  """The numbers of a data set with either loss, and the scores of the first seed at the end."""
  numbers, scores = {}, {}
  for method, (loss, _) in _METHODS.items():
    choices = {"methods": (method,), "width": (width,), "decay_steps": (steps,)}
    runs = Grid(name, choices).settings(range(seeds))
    networks, dataset = runs[0].networks(), runs[0].load(lab.data_dir)
    numbers["exact"] = dataset.true_wasserstein

    def look(key, state, data, networks=networks, dataset=dataset, loss=loss):
      key_real, key_latents = jax.random.split(key)
      latents = jax.random.normal(key_latents, (_N, networks.latent_dim))
      fake, _ = networks.generator.apply({}, {}, latents, train=False)
      apply = jax.vmap(functools.partial(networks.critic.apply, state.critic_params))
      real, fake = apply(dataset.sample_real(key_real, data, _N)), apply(fake)
      return {
        "real": real,
        "fake": fake,
        "estimate": LOSSES[loss].estimate(real, fake),
        "critic_loss": wasserstein_critic_loss(real, fake),
        "swapped": wasserstein_estimate(fake, real),
      }

    seen = observe_settings(runs, lab.data_dir, at, look)
    numbers[method] = seen.seen["estimate"].tolist()
    scores[method] = {side: seen.seen[side][0, -1] for side in ("real", "fake")}
    if method == "gp":
      last = {side: seen.seen[side][:, -1] for side in ("real", "fake")}
      both = np.concatenate(list(last.values()), axis=1)
      layers = networks.critic.layers(jax.tree.map(lambda leaf: leaf[0], seen.state.critic_params))
      numbers |= {
        "lambda_gp": runs[0].lambda_gp,
        "critic_loss": seen.seen["critic_loss"][:, -1].tolist(),
        "swapped": seen.seen["swapped"][:, -1].tolist(),
        "real_above_fake": (last["real"].mean(1) - last["fake"].mean(1)).tolist(),
        "lowest": both.min(1).tolist(),
        "highest": both.max(1).tolist(),
        "last_layer_linear": isinstance(layers[-1], Dense),
      }
  return {"numbers": numbers, "scores": scores}


def _softness(each: dict) -> float:
  """By how much a soft penalty lets the estimate exceed W1.

  A critic K times as steep as the optimal one has K W1 - lambda (K - 1)^2: the most is at this K.
  """
  return 1 + each["exact"] / (2 * each["lambda_gp"])


def _judge(numbers: dict) -> Judgement:
  told, holds = [], True
  for name, each in numbers["sets"].items():
    critic, other = np.array(each["gp"])[:, -1], np.array(each["nonsaturating"])
    swapped, loss = np.array(each["swapped"]), np.array(each["critic_loss"])
    ratio = critic / each["exact"]
    outside = np.maximum(-np.array(each["lowest"]), np.array(each["highest"]) - 1)
    holds = (
      holds
      and ((ratio >= 0.9) & (ratio <= 1.05 * _softness(each))).all()
      # Told by the losses themselves, and by the scores: real ones are the higher.
      and np.allclose(swapped, -critic, rtol=1e-4)
      and np.allclose(loss, -critic, rtol=1e-4)
      and np.allclose(each["real_above_fake"], critic, rtol=1e-3)
      and each["last_layer_linear"]
      and (outside > 0).all()
      and (other <= math.log(2) + 1e-6).all()
    )
    told.append(
      f"{name}: W1 is {each['exact']:.3f}, the critic's estimate {ratio.min():.2f} to"
      f" {ratio.max():.2f} times that (its soft penalty allows {_softness(each):.2f}), its"
      f" scores {min(each['lowest']):.1f} to"
      f" {max(each['highest']):.1f}, the cross-entropy's estimate {other[:, -1].mean():.3f}"
    )
  ceiling = np.array(numbers["sets"]["two_gaussians"]["nonsaturating"])[:, -1] / math.log(2)
  holds = holds and (ceiling >= 0.95).all()
  return Judgement(verdict(holds), "; ".join(told) + " of at most log 2 = 0.693.")


def _draw(numbers) -> Picture:
  figure = Figure(figsize=(8.5, 3.8), layout="constrained")
  for axes, (name, each) in zip(figure.subplots(1, 2), numbers["sets"].items(), strict=True):
    for method, colour in (("gp", "tab:blue"), ("nonsaturating", "tab:red")):
      for i, values in enumerate(each[method]):
        kind = "W1" if method == "gp" else "JS divergence, nats"
        label = None if i else f"{_METHODS[method][1]}: estimate of {kind}"
        axes.plot(numbers["updates"], values, color=colour, lw=1, label=label)
    axes.axhline(each["exact"], color="black", ls="--", lw=0.8, label="exact W1")
    axes.axhline(
      each["exact"] * _softness(each),
      color="tab:blue",
      ls="--",
      lw=0.8,
      label="as a soft penalty allows",
    )
    axes.axhline(math.log(2), color="gray", ls=":", lw=0.8, label="log 2")
    axes.set(xlabel="steps", ylabel="estimate", title=name)
    axes.set_ylim(0, 1.35 * each["exact"])
  figure.legend(*axes.get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=3)
  seeds = len(numbers["sets"]["two_gaussians"]["gp"])
  return Picture(
    f"Critics with the W-loss and gradient penalty, and discriminators with the cross-entropy,"
    f" against fixed generators whose distance is known; on {_N} new samples of each side. {seeds}"
    " seeds, a curve each. A step is 5 updates of the critic, 1 of the discriminator.",
    render(figure),
  )


def _draw_scores(scores) -> Picture:
  figure = Figure(figsize=(8.5, 3), layout="constrained")
  for axes, (method, (_, title)) in zip(figure.subplots(1, 2), _METHODS.items(), strict=True):
    for side, colour in (("real", "tab:green"), ("fake", "tab:red")):
      values = scores[method][side].astype(np.float64)
      values = values if method == "gp" else 1 / (1 + np.exp(-np.clip(values, -500, 500)))
      if np.isfinite(values).all():
        bins = 40 if method == "gp" else np.linspace(0, 1, 21)
        axes.hist(values, bins, weights=np.full(_N, 1 / _N), alpha=0.5, color=colour, label=side)
    what = "c(x), any number" if method == "gp" else "d(x), a probability"
    axes.set(title=title, xlabel=what, ylabel="share of samples")
    axes.legend(fontsize=8)
  return Picture(
    f"two_gaussians, 4 apart, at the end, seed 0: what the critic (left) and the discriminator"
    f" (right) make of {_N} real and {_N} generated points. The means of the scores are as far"
    " apart as the distributions, and some more as the penalty is soft; a probability has no"
    " such size.",
    render(figure),
  )


CLAIM = Claim(
  name="w_loss",
  sentence="The W-loss, the least over g of the most over c of E c(x) - E c(g(z)), has a critic"
  " whose output is any number, and approximates the Earth Mover's Distance.",
  source="Course, row 7",
  settings="Two pairs of distributions in the plane with a known distance: two Gaussians 4 apart,"
  " and 4 funnels; fixed generators. MLP critics of 3 layers, Adam 1e-3 falling to 0, batch 256,"
  " penalty 10, 5 critic updates a step; the cross-entropy with 1.",
  criterion="On both, in every seed: the estimate is at least 0.9 of the exact distance and at most"
  " 5 % above W1 (1 + W1 / (2 lambda)), to which a soft penalty lets it rise; the loss is its"
  " negative, swapping real and fake swaps its sign, real scores are the higher; the critic's last"
  " layer is linear and scores leave [0, 1]. The cross-entropy's estimate never exceeds log 2, and"
  " where the distance is 4 it is within 5 % of that.",
  scales={
    "quick": {"seeds": 2, "steps": 1000, "width": 64},
    "full": {"seeds": 5, "steps": 10_000, "width": 128},
  },
  minutes={"quick": 0.8, "full": 4.0},
  measure=_measure,
  judge=_judge,
)
