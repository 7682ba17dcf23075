"""The course's exercise as it is, beside two critics without its faults.

The exercise's own training is INVALID, on purpose: `experiments.claims.exercise` tells why.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments.claims.claim import Claim, Evidence, Judgement, verdict
from experiments.claims.exercise import make_exercise_training, score_batch
from experiments.claims.lab import Lab
from experiments.engine.observe import observe, observe_training
from experiments.figures.pictures import Picture, render
from experiments.measures.classes import ClassifierMeasures
from experiments.measures.classifiers import classify_images
from experiments.measures.samples import sliced_distance
from wgan_jax.networks import dcgan, exercise
from wgan_jax.training import Config, Hparams, generate

_LATENT_DIM = 64
_HPARAMS = Hparams(2e-4, 0.5, 0.999, 10.0)
_WORDS = {"exercise": "as it is", "padded": "padded, mended", "dcgan": "dcgan"}
_BLIND = 6  # Rows and columns that no 4x4/2 convolution reaches: 28 -> 13 -> 5 -> 1 sees 22.
_MEASURES = {
  "frechet": "classifier Fréchet distance",
  "class_kl": "KL of classes (nats)",
  "sliced": "sliced distance, SW1",
}


def _measure(
  lab: Lab, *, seeds: int, dataset: str, steps: int, width: int, batch_size: int, looks: int
) -> Evidence:
  data = lab.load(dataset)
  judge = ClassifierMeasures(data)
  config = Config(n_critic=5, batch_size=batch_size)
  at = sorted({max(1, steps * i // looks) for i in range(1, looks + 1)})
  pairs = {
    "exercise": exercise(latent_dim=_LATENT_DIM, width=width, scale_mean=0.0),
    "padded": exercise(latent_dim=_LATENT_DIM, width=width),
    "dcgan": dcgan((28, 28, 1), latent_dim=_LATENT_DIM, width=width),
  }
  members = [(_HPARAMS, seed) for seed in range(seeds)]
  real = jnp.asarray(data.held_out[:64])
  numbers, table, grids, maps = {}, [], {}, {}
  for name, pair in pairs.items():
    look = functools.partial(_look, pair, judge.n_samples, jnp.asarray(data.held_out))
    if name == "exercise":
      training = make_exercise_training(config, pair, width)
      observed = observe_training(training, data.train, members, at, look)
      scores = functools.partial(score_batch, hold=True)
    else:
      observed = observe(config, pair, data.sample_real, data.train, members, at, look)
      scores = functools.partial(_score_one_by_one, pair)
    maps[name] = [_gradient_map(scores, observed.state, i, real) for i in range(seeds)]
    if name == "exercise":
      leaking = functools.partial(score_batch, hold=False)
      maps["through the batch"] = [
        _gradient_map(leaking, observed.state, i, real) for i in range(seeds)
      ]
      through = [float(_edge(each).min()) for each in maps["through the batch"]]
    grids[name] = observed.seen["samples"][0, -1, :64]
    numbers[name] = {
      "at": at,
      "estimate": [_smooth(row).tolist() for row in observed.info.estimate],
      "critic_loss": [_smooth(row).tolist() for row in observed.info.critic_loss],
      "edge": [float(_edge(each).max()) for each in maps[name]],
      "least": [float(each.min()) for each in maps[name]],
      "largest": [float(each.max()) for each in maps[name]],
      "sliced": observed.seen["sliced"].tolist(),
    }
    told = [[_judged(judge, each) for each in own] for own in observed.seen["samples"]]
    numbers[name] |= {
      key: [[float(each[key]) for each in own] for own in told] for key in ("frechet", "class_kl")
    }
    for seed in range(seeds):
      row = {"networks": _WORDS[name], "seed": seed}
      row |= {words: f"{numbers[name][key][seed][-1]:.3g}" for key, words in _MEASURES.items()}
      row["largest gradient, last 6 rows and columns"] = f"{numbers[name]['edge'][seed]:.2g}"
      table.append(row)
  numbers["exercise"]["edge_through_batch"] = through
  pictures = [_draw_maps(maps), _draw_curves(numbers, seeds), _draw_grids(grids)]
  return Evidence(numbers, table, pictures)


def _look(pair, n_samples, held_out, key, state, data):
  del data
  samples = generate(pair, state, key, n_samples)
  return {"samples": samples, "sliced": sliced_distance(samples[: len(held_out)], held_out)}


def _judged(judge, samples):
  if not np.isfinite(samples).all():
    return dict.fromkeys(judge.NAMES, float("inf"))
  outputs = classify_images(judge.params, samples)
  return judge.measure({"classes": outputs.logits.argmax(1), "features": outputs.features})


def _score_one_by_one(pair, params, x):
  return jax.vmap(functools.partial(pair.critic.apply, params))(x)


def _gradient_map(scores, state, member, real):
  """The mean absolute gradient at each pixel, of scores that the critic may couple, [28, 28]."""
  params = jax.tree.map(lambda leaf: leaf[member], state.critic_params)
  # Signs at random, so that what one score loses by an image another does not give back.
  signs = jax.random.rademacher(jax.random.key(0), (8, len(real)), jnp.float32)
  gradient = jax.jit(jax.grad(lambda x, sign: jnp.vdot(sign, scores(params, x))))
  maps = [np.abs(gradient(real, sign)).mean((0, 3)) for sign in signs]
  return np.mean(maps, axis=0)


def _edge(gradient_map):
  return np.concatenate([gradient_map[-_BLIND:].ravel(), gradient_map[:, -_BLIND:].ravel()])


def _smooth(row, n=200):
  """At most n means of neighbours."""
  return np.array([part.mean() for part in np.array_split(row, min(n, len(row)))])


def _judge(numbers: dict) -> Judgement:
  blind = max(numbers["exercise"]["edge"])
  seeing = min(min(numbers[name]["least"]) for name in ("padded", "dcgan"))
  ends = {
    name: [
      float(np.mean([own[-1] for own in numbers[name][key]])) for key in ("frechet", "class_kl")
    ]
    for name in _WORDS
  }
  coupled = min(numbers["exercise"]["edge_through_batch"])
  holds = blind == 0 and min(numbers["exercise"]["largest"]) > 0 and coupled > 0 and seeing > 0
  told = "; ".join(f"{_WORDS[name]} {f:.3g}, {kl:.2g}" for name, (f, kl) in ends.items())
  return Judgement(
    verdict(holds),
    f"The exercise's critic has a gradient of {blind:g} at most on the last six rows and columns,"
    f" of {coupled:.1g} at least through the batch's statistics; the others at least {seeing:.1g}"
    f" at every pixel. Fréchet distance and KL of classes at the end, means over seeds: {told}.",
  )


def _draw_maps(maps) -> Picture:
  figure = Figure(figsize=(11, 3.2), layout="constrained")
  words = {
    "exercise": "as it is:\na sample's own score",
    "through the batch": "as it is: through the\nbatch's statistics too",
    "padded": "padded,\nno batch norm in the critic",
    "dcgan": "dcgan",
  }
  panels = figure.subplots(1, len(words))
  for axes, (name, title) in zip(panels, words.items(), strict=True):
    shown = maps[name][0] / maps[name][0].max()
    colours = axes.imshow(np.where(shown > 0, shown, np.nan), norm="log", vmin=1e-3, vmax=1)
    axes.set_facecolor("red")
    axes.set_title(title, fontsize=8)
    axes.set(xlabel="pixel", xticks=(0, 10, 20, 27), yticks=(0, 10, 20, 27))
  panels[0].set_ylabel("pixel")
  figure.colorbar(colours, ax=panels, label="mean |gradient|, over the largest", shrink=0.85)
  return Picture(
    "Where each critic looks: the mean absolute gradient of its scores at each pixel, after"
    " training, of 64 held-out images, seed 0. Red: exactly zero. The exercise's unpadded"
    " convolutions, 28 -> 13 -> 5 -> 1, see 22 x 22 pixels; the others reach its score through"
    " batch statistics alone.",
    render(figure),
  )


def _draw_curves(numbers, seeds) -> Picture:
  figure = Figure(figsize=(11, 5.8), layout="constrained")
  panels = figure.subplots(2, 3).ravel()
  for i, (name, words) in enumerate(_WORDS.items()):
    own = numbers[name]
    for seed in range(seeds):
      style = {"color": f"C{i}", "linewidth": 1.2, "label": words if seed == 0 else None}
      for axes, key in zip(panels, _MEASURES, strict=False):
        axes.plot(own["at"], own[key][seed], ".-", **style)
      for axes, key in zip(panels[3:], ("estimate", "critic_loss"), strict=False):
        values = own[key][seed]
        axes.plot(np.linspace(0, own["at"][-1], len(values)), values, **style)
  labels = [*_MEASURES.values(), "estimate, E c(x) - E c(g(z))", "critic loss"]
  for axes, label in zip(panels, labels, strict=False):
    axes.set(xlabel="generator updates", ylabel=label)
  panels[0].set_yscale("log")
  for axes in panels[3:5]:
    axes.set_yscale("symlog", linthresh=1)
  panels[0].legend(fontsize=8)
  panels[5].set_axis_off()
  return Picture(
    "The exercise's networks as they are, mended, and dcgan: measures of samples, above, and what"
    " the critics tell, below, as means of neighbouring updates; a line for each of"
    f" {seeds} seeds.",
    render(figure),
  )


def _draw_grids(grids) -> Picture:
  figure = Figure(figsize=(10, 3.6), layout="constrained")
  for axes, (name, images) in zip(figure.subplots(1, len(grids)), grids.items(), strict=True):
    tiled = np.nan_to_num(images[..., 0]).reshape(8, 8, 28, 28).transpose(0, 2, 1, 3)
    axes.imshow(tiled.reshape(8 * 28, 8 * 28), cmap="gray", vmin=-1, vmax=1)
    axes.set_title(_WORDS[name], fontsize=9)
    axes.set(xticks=[], yticks=[])
  return Picture("64 samples of each at the end, seed 0.", render(figure))


CLAIM = Claim(
  name="course_exercise",
  sentence="The course's exercise trains a critic that normalises over the batch and does not see"
  " the last six rows and columns, which reach its scores through the other samples alone.",
  source="Course, row 11, the exercise",
  settings="The exercise's generator and critic as its notebook has them, scales of batch norm from"
  " N(0, 0.02), one real batch for five critic updates, the penalty of the gradient of the scores'"
  " sum. Beside it the same generator with scales from N(1, 0.02) and the critic padded, without"
  " batch norm, scored by the mean of its 4 x 4 outputs; and dcgan. Those two train as this library"
  " does. All: Adam 2e-4, betas (0.5, 0.999), lambda 10, latent 64. Quick: the embedded digits, a"
  " quarter of the channels, batch 64, hundreds of updates; full: MNIST, batch 128, 100 epochs.",
  criterion="Every seed. With its batch's statistics held, the gradient of the exercise's critic is"
  " exactly 0 on the last six rows and columns and not everywhere, and through them it is 0 at none"
  " of those pixels; that of the other two critics is 0 at no pixel. How good the samples of the"
  " three are is told and not judged: the faults are several, and dcgan differs in more than them.",
  scales={
    "quick": {
      "seeds": 2,
      "dataset": "digits",
      "steps": 400,
      "width": 16,
      "batch_size": 64,
      "looks": 4,
    },
    "full": {
      "seeds": 3,
      "dataset": "mnist",
      "steps": 46_900,
      "width": 64,
      "batch_size": 128,
      "looks": 20,
    },
  },
  minutes={"quick": 3.9, "full": 60},
  measure=_measure,
  judge=_judge,
)
