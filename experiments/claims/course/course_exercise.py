"""The course's exercise as it is, INVALID on purpose, beside two critics without its faults."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.exercise import make_exercise_training, score_batch
from experiments.claims.figures import image_grids, lines_by_seed, log_map, make_panels, picture
from experiments.claims.summary import even_steps, rows_by_seed
from experiments.measures.classes import ClassifierMeasures
from experiments.measures.samples import sliced_distance
from wgan_jax.config import Config, Hparams
from wgan_jax.networks import dcgan, exercise
from wgan_jax.training import generate

_HPARAMS = Hparams(2e-4, 0.5, 0.999, 10.0)
_WORDS = {"exercise": "as it is", "padded": "padded, mended", "dcgan": "dcgan"}
_MEASURES = {"frechet": "Fréchet distance", "class_kl": "KL of classes (nats)", "sliced": "SW1"}


def _measure(lab, *, seeds, dataset, steps, width, batch_size, looks):
  data = lab.load(dataset)
  judge, at = ClassifierMeasures(data), even_steps(steps, looks)
  config = Config(n_critic=5, batch_size=batch_size)
  size = {"latent_dim": 64, "width": width}
  pairs = {"exercise": exercise(**size, scale_mean=0.0), "padded": exercise(**size)}
  pairs["dcgan"] = dcgan((28, 28, 1), **size)
  held_out, source = jnp.asarray(data.held_out), (data.sample_real, data.train)
  numbers, table, grids, maps = {}, [], {}, {}
  for name, pair in pairs.items():

    def look(key, state, data, pair=pair):
      samples = generate(pair, state, key, judge.n_samples)
      return {"samples": samples, "sliced": sliced_distance(samples[: len(held_out)], held_out)}

    if name == "exercise":
      training = make_exercise_training(config, pair, width)
      observed = lab.observe_training(training, data.train, _HPARAMS, seeds, at, look)
      maps["through the batch"] = _gradient_maps(score_batch, observed.state, held_out[:64])
      maps[name] = _gradient_maps(score_batch, observed.state, held_out[:64], hold=True)
    else:
      observed = lab.observe(config, pair, source, _HPARAMS, seeds, at, look)
      scores = jax.vmap(pair.critic.apply, (None, 0))
      maps[name] = _gradient_maps(scores, observed.state, held_out[:64])
    grids[_WORDS[name]] = observed.seen["samples"][0, -1, :64]
    numbers[name] = {
      "at": at,
      "estimate": [_smooth(row) for row in observed.info.estimate],
      "critic_loss": [_smooth(row) for row in observed.info.critic_loss],
      "edge": [float(_edge(each).max()) for each in maps[name]],
      "least": [float(each.min()) for each in maps[name]],
      "largest": [float(each.max()) for each in maps[name]],
      "sliced": observed.seen["sliced"].tolist(),
    }
    measured = [[_measure_samples(judge, each) for each in own] for own in observed.seen["samples"]]
    for key in ("frechet", "class_kl"):
      numbers[name][key] = [[float(each[key]) for each in own] for own in measured]
    columns = {words: [own[-1] for own in numbers[name][key]] for key, words in _MEASURES.items()}
    table += rows_by_seed({"networks": _WORDS[name]}, columns | {"edge": numbers[name]["edge"]})
  through = [float(_edge(each).min()) for each in maps["through the batch"]]
  numbers["exercise"]["edge_through_batch"] = through
  samples = image_grids(grids, "64 samples of each at the end, seed 0.", size=(10, 3.6))
  return Evidence(numbers, table, [_draw_maps(maps), _draw_curves(numbers, seeds), samples])


def _measure_samples(judge, samples):
  if not np.isfinite(samples).all():
    return dict.fromkeys(judge.NAMES, float("inf"))
  return judge.measure(judge.inspect(samples))


def _gradient_maps(scores, state, real, **how):
  """Computes the mean absolute gradient of the scores at each pixel, [28, 28] for each seed."""
  # Signs at random, so that what one score loses by an image another does not give back.
  signs = jax.random.rademacher(jax.random.key(0), (8, len(real)), jnp.float32)
  maps = []
  for i in range(len(state.step)):
    params = jax.tree.map(lambda leaf, i=i: leaf[i], state.critic_params)
    gradient = jax.jit(jax.grad(lambda x, sign, p=params: jnp.vdot(sign, scores(p, x, **how))))
    maps.append(np.mean([np.abs(gradient(real, sign)).mean((0, 3)) for sign in signs], axis=0))
  return maps


def _edge(gradient_map):  # That no 4x4/2 convolution reaches: 28 -> 13 -> 5 -> 1 sees 22.
  return np.concatenate([gradient_map[-6:].ravel(), gradient_map[:, -6:].ravel()])


def _smooth(row, n=200):
  """Averages neighbours, to n values at most."""
  return [float(part.mean()) for part in np.array_split(row, min(n, len(row)))]


def _criterion(numbers):
  blind = max(numbers["exercise"]["edge"])
  seeing = min(min(numbers[name]["least"]) for name in ("padded", "dcgan"))
  coupled = min(numbers["exercise"]["edge_through_batch"])
  means = []
  for name, words in _WORDS.items():
    frechet, kl = (np.array(numbers[name][key])[:, -1].mean() for key in ("frechet", "class_kl"))
    means.append(f"{words} {frechet:.3g}, {kl:.2g}")
  return verdict(
    blind == 0 and min(numbers["exercise"]["largest"]) > 0 and coupled > 0 and seeing > 0,
    f"The exercise's critic has a gradient of {blind:g} at most on the last six rows and columns,"
    f" of {coupled:.1g} at least through the batch's statistics; the others at least {seeing:.1g}"
    " at every pixel. Fréchet distance and KL of classes at the end, means over seeds:"
    f" {'; '.join(means)}.",
  )


def _draw_maps(maps):
  figure, panels = make_panels(1, len(maps), size=(11, 3.2))
  for axes, (name, own) in zip(panels, maps.items(), strict=True):
    colours = log_map(axes, own[0])
    axes.set_title(_WORDS.get(name, f"as it is, {name}"), fontsize=8)
    axes.set(xlabel="pixel", xticks=(0, 10, 20, 27), yticks=(0, 10, 20, 27))
  panels[0].set_ylabel("pixel")
  figure.colorbar(colours, ax=panels, label="mean |gradient|, over the largest", shrink=0.85)
  caption = "Mean |gradient| of each critic's scores, 64 held-out images, seed 0; red: zero."
  return picture(figure, caption)


def _draw_curves(numbers, seeds):
  figure, panels = make_panels(1, 5, size=(15, 3))
  labels = _MEASURES | {"estimate": "estimate, E c(x) - E c(g(z))", "critic_loss": "critic loss"}
  for axes, (key, label) in zip(panels, labels.items(), strict=True):
    for i, (name, own) in enumerate(numbers.items()):
      x = own["at"] if key in _MEASURES else np.linspace(0, own["at"][-1], len(own[key][0]))
      lines_by_seed(axes, x, own[key], _WORDS[name], color=f"C{i}", linewidth=1.2)
    axes.set(ylabel=label, yscale="linear" if key in _MEASURES else "symlog")
  figure.supxlabel("generator updates")
  caption = f"Samples, and estimates as means of neighbouring updates; {seeds} seeds, a line each."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="course_exercise", place=13, source="Course, row 11, the exercise",
  sentence="The course's exercise trains a critic that normalises over the batch and does not see"
  " the last six rows and columns, which reach its scores through the other samples alone.",
  settings="The notebook's own: scales of batch norm from N(0, 0.02), one real batch for five"
  " critic updates, the penalty of the scores' sum. Beside it scales from N(1, 0.02) and a padded"
  " critic without batch norm, scored by the mean of its outputs; and dcgan.",
  criterion_text="Every seed. On the last six rows and columns the gradient of the exercise's"
  " critic is exactly 0 with its batch's statistics held (and not so elsewhere), 0 nowhere through"
  " them. That of the others is 0 at no pixel. The quality of samples does not count.",
  quick=dict(seeds=2, dataset="digits", steps=400, width=16, batch_size=64, looks=4),
  full=dict(seeds=3, dataset="mnist", steps=46_900, width=64, batch_size=128, looks=20),
  tiny=dict(seeds=1, steps=2, width=2, batch_size=4, looks=2), minutes=dict(quick=3.9, full=60),
)  # fmt: skip
