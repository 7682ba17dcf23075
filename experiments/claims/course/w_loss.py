"""Course, row 7: the W-loss; a critic's difference of mean scores is the Earth Mover's Distance."""

import functools
import math

import jax
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import (
  lines_by_seed,
  make_panels,
  mark,
  overlaid_histograms,
  picture,
)
from experiments.claims.summary import by_seed, even_steps, sigmoid
from wgan_jax.layers import Dense
from wgan_jax.losses import LOSSES, wasserstein_critic_loss, wasserstein_estimate

_SETS = ("two_gaussians", "funnels")
_METHODS = {"gp": ("wasserstein", "W-loss"), "nonsaturating": ("nonsaturating", "cross-entropy")}
_N = 4096  # New samples of each side.


def _measure(lab, *, seeds, steps, width):
  at = [0, *even_steps(steps, 20)]
  found = {name: _train(lab, name, seeds, at, steps, width) for name in _SETS}
  numbers = {"updates": at, "sets": {name: each["numbers"] for name, each in found.items()}}
  table = [
    {
      "data": name,
      "exact W1": each["exact"],
      "critic's estimate, by seed": by_seed([run[-1] for run in each["gp"]], ".3f"),
      "the same, real and fake swapped": by_seed(each["swapped"], ".3f"),
      "critic's scores, all seeds": f"{min(each['lowest']):.1f} to {max(each['highest']):.1f}",
      "discriminator's JS estimate, by seed": by_seed(
        [run[-1] for run in each["nonsaturating"]], ".3f"
      ),
    }
    for name, each in numbers["sets"].items()
  ]
  scores = found["two_gaussians"]["scores"]
  return Evidence(numbers, table, [_draw(numbers), _draw_scores(scores)])


def _train(lab, name, seeds, at, steps, width):
  """Trains on a data set with either loss; returns numbers, and the first seed's last scores."""
  numbers, scores = {}, {}
  for method, (loss, _) in _METHODS.items():
    runs = lab.settings(name, seeds, methods=method, width=width, decay_steps=steps)
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

    seen = lab.observe_settings(runs, at, look)
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


def _softness(each: dict):
  """Computes by what factor a soft penalty lets the estimate exceed W1.

  A critic K times as steep as the optimal one has K W1 - lambda (K - 1)^2: the most is at this K.
  """
  return 1 + each["exact"] / (2 * each["lambda_gp"])


def _criterion(numbers):
  lines, holds = [], True
  for name, each in numbers["sets"].items():
    critic, other = np.array(each["gp"])[:, -1], np.array(each["nonsaturating"])
    swapped, loss = np.array(each["swapped"]), np.array(each["critic_loss"])
    ratio = critic / each["exact"]
    outside = np.maximum(-np.array(each["lowest"]), np.array(each["highest"]) - 1)
    holds = (
      holds
      and ((ratio >= 0.9) & (ratio <= 1.05 * _softness(each))).all()
      # By the losses themselves, and by the scores: real ones are the higher.
      and np.allclose(swapped, -critic, rtol=1e-4)
      and np.allclose(loss, -critic, rtol=1e-4)
      and np.allclose(each["real_above_fake"], critic, rtol=1e-3)
      and each["last_layer_linear"]
      and (outside > 0).all()
      and (other <= math.log(2) + 1e-6).all()
    )
    lines.append(
      f"{name}: W1 is {each['exact']:.3f}, the critic's estimate {ratio.min():.2f} to"
      f" {ratio.max():.2f} times that (its soft penalty allows {_softness(each):.2f}), its"
      f" scores {min(each['lowest']):.1f} to"
      f" {max(each['highest']):.1f}, the cross-entropy's estimate {other[:, -1].mean():.3f}"
    )
  ceiling = np.array(numbers["sets"]["two_gaussians"]["nonsaturating"])[:, -1] / math.log(2)
  holds = holds and (ceiling >= 0.95).all()
  return verdict(holds, "; ".join(lines) + " of at most log 2 = 0.693.")


def _draw(numbers):
  figure, panels = make_panels(1, 2, size=(8.5, 3.8))
  kinds = {"gp": ("W1", "tab:blue"), "nonsaturating": ("JS divergence, nats", "tab:red")}
  for axes, (name, each) in zip(panels, numbers["sets"].items(), strict=True):
    for method, (kind, colour) in kinds.items():
      label = f"{_METHODS[method][1]}: estimate of {kind}"
      lines_by_seed(axes, numbers["updates"], each[method], label, color=colour)
    axes.axhline(each["exact"], color="black", ls="--", lw=0.8, label="exact W1")
    soft = {"color": "tab:blue", "ls": "--", "lw": 0.8, "label": "as a soft penalty allows"}
    axes.axhline(each["exact"] * _softness(each), **soft)
    mark(axes, y=math.log(2), label="log 2")
    axes.set(xlabel="steps", ylabel="estimate", title=name)
    axes.set_ylim(0, 1.35 * each["exact"])
  seeds = len(numbers["sets"]["two_gaussians"]["gp"])
  return picture(
    figure,
    f"Critics with the W-loss and gradient penalty, and discriminators with the cross-entropy,"
    f" against fixed generators whose distance is known; on {_N} new samples of each side. {seeds}"
    " seeds, a curve each. A step is 5 updates of the critic, 1 of the discriminator.",
  )


def _draw_scores(scores):
  figure, panels = make_panels(1, 2, size=(8.5, 3))
  for axes, (method, (_, title)) in zip(panels, _METHODS.items(), strict=True):
    sides, bins = scores[method], 40
    if method != "gp":
      sides = {side: sigmoid(each) for side, each in sides.items()}
      bins = np.linspace(0, 1, 21)
    overlaid_histograms(axes, sides, bins)
    what = "c(x), any number" if method == "gp" else "d(x), a probability"
    axes.set(title=title, xlabel=what, ylabel="share of samples")
  return picture(
    figure,
    f"two_gaussians, 4 apart, at the end, seed 0: what the critic (left) and the discriminator"
    f" (right) make of {_N} real and {_N} generated points. The means of the scores are as far"
    " apart as the distributions, and some more as the penalty is soft; a probability has no"
    " such size.",
  )


CLAIM = Claim(
  name="w_loss", place=7, source="Course, row 7",
  sentence="The W-loss, the least over g of the most over c of E c(x) - E c(g(z)), has a critic"
  " whose output is any number, and approximates the Earth Mover's Distance.",
  settings="Two pairs of distributions in the plane with a known distance: two Gaussians 4 apart,"
  " and 4 funnels; fixed generators. MLP critics of 3 layers, Adam 1e-3 falling to 0, batch 256,"
  " penalty 10, 5 critic updates a step; the cross-entropy with 1.",
  criterion_text="On both, in every seed: the estimate is at least 0.9 of the exact distance and at"
  " most 5 % above W1 (1 + W1 / (2 lambda)), to which a soft penalty lets it rise; the loss is its"
  " negative, swapping real and fake swaps its sign, real scores are the higher; the critic's last"
  " layer is linear and scores leave [0, 1]. The cross-entropy's estimate never exceeds log 2, and"
  " where the distance is 4 it is within 5 % of that.",
  quick={"seeds": 2, "steps": 1000, "width": 64},
  full={"seeds": 5, "steps": 10_000, "width": 128},
  tiny={"seeds": 1, "steps": 2, "width": 4},
  minutes={"quick": 0.8, "full": 4.0}, measure=_measure, criterion=_criterion,
)  # fmt: skip
