"""Course, row 4: the discriminator has the easier task and gets ahead of the generator."""

import jax
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import make_panels, overlaid_histograms, picture
from experiments.claims.summary import arrays, by_seed, sigmoid

_N = 256  # Real and generated samples of a histogram.
_BINS = np.linspace(0, 1, 22)  # An odd number, so that 1/2 is in a bin and not at an edge.
_MEANS = ("mean_d_real", "mean_d_fake", "overlap", "mean_c_real", "mean_c_fake")


def _measure(lab, *, seeds, width, dataset, updates):
  discriminator = _observe(lab, dataset, "nonsaturating", "none", width, seeds, updates)
  critic = _observe(lab, dataset, "wasserstein", "gp", width, seeds, updates)
  probabilities = {name: sigmoid(scores) for name, scores in discriminator.seen.items()}
  shares = [np.apply_along_axis(_shares, -1, each) for each in probabilities.values()]
  # The common area of two histograms, 1 for equal ones.
  numbers = {"updates": updates, "overlap": np.minimum(*shares).sum(-1).tolist()}
  numbers |= {f"mean_d_{side}": each.mean(-1).tolist() for side, each in probabilities.items()}
  numbers |= {f"mean_c_{side}": each.mean(-1).tolist() for side, each in critic.seen.items()}
  numbers["critic_gradient_norm"] = critic.info.gradient_norm_mean[:, -10:].mean(1).tolist()
  table = [
    {"updates": n}
    | {f"{name}, by seed": by_seed([own[i] for own in numbers[name]], ".4g") for name in _MEANS}
    for i, n in enumerate(updates)
  ]
  return Evidence(numbers, table, [_draw(probabilities, critic, updates, dataset)])


def _observe(lab, dataset, loss, penalty, width, seeds, updates):
  choices = {"loss": loss, "penalty": penalty, "width": width}
  runs = lab.settings(dataset, seeds, n_critic=1, fixed_generator=True, **choices)
  networks, sample_real = runs[0].networks(), runs[0].load(lab.data_dir).sample_real

  def look(key, state, data):
    key_real, key_latents = jax.random.split(key)
    # In training mode, as in the updates: the running statistics have not settled at first.
    latents = jax.random.normal(key_latents, (_N, networks.latent_dim))
    params = state.generator_params, state.batch_stats
    fake, _ = networks.generator.apply(*params, latents, train=True)
    scores = jax.vmap(lambda x: networks.critic.apply(state.critic_params, x))
    return {"real": scores(sample_real(key_real, data, _N)), "fake": scores(fake)}

  return lab.observe_settings(runs, updates, look)


def _shares(values):
  return np.histogram(values, _BINS)[0] / len(values)


def _criterion(numbers):
  real, fake, overlap, c_real, c_fake = arrays(numbers, *_MEANS)
  slope, gaps, c_gap = np.array(numbers["critic_gradient_norm"]), real - fake, c_real - c_fake
  start = (np.abs(gaps[:, 0]) < 0.1) & (overlap[:, 0] > 0.5)
  end = (real[:, -1] > 0.99) & (fake[:, -1] < 0.01) & (overlap[:, -1] < 0.01)
  critic = (c_gap[:, -1] > 1) & (slope > 0.5)
  return verdict(
    np.all(start & end & critic) and np.all(np.diff(gaps) > 0),
    f"Mean d(real) and d(fake), all seeds: {real[:, 0].mean():.3f} and {fake[:, 0].mean():.3f} at"
    f" the start, their histograms overlapping by {overlap[:, 0].mean():.2f}; after"
    f" {numbers['updates'][-1]:,} updates {real[:, -1].mean():.4f} and {fake[:, -1].mean():.4f},"
    f" overlapping by {overlap[:, -1].mean():.2g}. The critic's scores are then"
    f" {c_gap[:, -1].mean():.1f} apart, its mean slope on the lines {slope.mean():.2f}.",
  )


def _draw(probabilities, critic, updates, dataset):
  n = len(updates)
  figure, (above, below) = make_panels(2, n, size=(2.6 * n, 4.6), squeeze=False)
  for axes, lower, i, step in zip(above, below, range(n), updates, strict=True):
    # Of one seed: a critic's level means nothing, and each seed has its own.
    overlaid_histograms(axes, {name: each[0, i] for name, each in probabilities.items()}, _BINS)
    overlaid_histograms(lower, {name: each[0, i] for name, each in critic.seen.items()}, 30)
    axes.set_title(f"after {step:,} updates" if step else "before any update", fontsize=9)
    axes.set(xlabel="d(x), a probability", xlim=(0, 1), ylim=(0, 1.02))
    lower.set(xlabel="c(x), any number")
  figure.supylabel("share of samples")
  caption = f"{dataset}, {_N} real and {_N} fake, seed 0; discriminator above, critic below."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="discriminator_ahead", place=4, source="Course, row 4",
  sentence="The discriminator, one output against a whole image, has the easier task: trained"
  " ahead, its outputs for real and fake go from overlap to 1 and 0.",
  settings="DCGAN, a generator fixed at its start, Adam 2e-4, batch 64, one update a step; the"
  " critic with penalty 10, which lets slopes exceed 1 so far from the data.",
  criterion_text="In every seed: means of d(real) and d(fake) start less than 0.1 apart, histograms"
  " (21 bins) overlapping by over half; they move apart from look to look, to above 0.99 and below"
  " 0.01, overlap below 0.01. The critic separates them by over 1, its mean slope above 0.5.",
  quick=dict(seeds=2, width=16, dataset="digits", updates=[0, 10, 100, 1000]),
  full=dict(seeds=5, width=64, dataset="mnist"), tiny=dict(seeds=1, width=2, updates=[0, 2]),
  minutes=dict(quick=1.2, full=2.0),
)  # fmt: skip
