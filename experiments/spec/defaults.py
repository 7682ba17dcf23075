"""Presets, and the table of defaults that `--help` prints."""

import dataclasses

from experiments.spec.datasets import DATASETS
from experiments.spec.grid import METHODS, Grid
from experiments.spec.networks import ARCHITECTURES
from experiments.spec.setting import ROWS
from experiments.spec.settings import Settings
from wgan_jax import Hparams

PAPER_STEPS = {"images": 20_000, "points": 100_000}
"""The length of a run with --preset=paper, by kind of data."""
PLAIN_DCGAN = {"architecture": "dcgan", "width": 32, "batch_size": 64}
"""Networks of images that no search has tuned: those of the papers' presets and of the claims."""
_OF_NETWORKS = (
  "width", "depth", "latent_dim", "batch_size", "learning_rate", "ema_half_life", "steps",
)  # fmt: skip


def default_steps(settings: Settings, preset: str | None = None) -> int:
  """Returns the length of a run unless chosen."""
  source = DATASETS[settings.dataset]
  if preset is not None:
    return PAPER_STEPS[source.kind]
  updates = ARCHITECTURES[settings.architecture].updates
  return source.steps or max(1, updates // (settings.n_critic + 1))


def steps_text(kind: str) -> str:
  """Says for `--help` how long a run on a kind of data is unless chosen."""
  of_data = {source.steps for source in DATASETS.values() if source.kind == kind} - {None}
  texts = [f"{steps:,}" for steps in sorted(of_data)]
  if not texts:
    rows = {name: row for name, row in ARCHITECTURES.items() if kind in row.kinds}
    texts = [f"{row.updates:,} updates of either network with {name}" for name, row in rows.items()]
  return ", ".join([*texts, f"{PAPER_STEPS[kind]:,} with --preset"])


def paper_preset(dataset: str, loss: str, penalty: str, optimizer: str | None) -> dict:
  """Returns the settings of the papers that are no defaults here.

  For images they are Algorithm 1 of both papers, on a DCGAN. On points they are those of the
  gradient penalty's authors, whose code has the penalty at 0.1, their paper at 10. What they did
  not run has the networks, and on points the optimiser too. Another optimiser than theirs keeps its
  own numbers.

  References:
    Arjovsky et al., 2017, arXiv 1701.07875, Algorithm 1; Gulrajani et al., 2017, arXiv
    1704.00028v3, Algorithm 1 and section 4.1, and the code that belongs to it.
  """
  row = ROWS["penalty"][penalty]
  of_wgan_gp = row.cost is not None and row.loss == loss == "wasserstein"
  if DATASETS[dataset].kind == "images":
    (plain,) = Grid(dataset, {"loss": (loss,), "penalty": (penalty,)}).settings([0])
    name = optimizer or plain.optimizer
    preset = PLAIN_DCGAN | {"learning_rate": ROWS["optimizer"][name].defaults["learning_rate"]}
    preset |= {"clip_value": Hparams().clip_value} if "clip_value" in row.reads else {}
    adam = {"learning_rate": 1e-4, "beta1": 0.0, "beta2": 0.9} if of_wgan_gp else {}
  else:
    preset = {"width": 512, "depth": 3, "batch_size": 256}
    preset |= {"lambda_gp": 0.1} if of_wgan_gp else {}
    clipped = "clip_value" in row.reads
    adam = {} if clipped else {"learning_rate": 1e-4, "beta1": 0.5, "beta2": 0.9}
  return preset | (adam if optimizer in (None, "adam") else {})


def defaults_table(dataset: str) -> str:
  """Lists the defaults of each method, for data sets like this one."""
  values = {pair: _values(dataset, pair) for pair in METHODS.values()}
  first = next(iter(values.values()))
  common = [name for name in first if all(own.get(name) == first[name] for own in values.values())]
  groups = {}
  for (loss, penalty), own in values.items():
    shown = _show({name: value for name, value in own.items() if name not in common})
    groups.setdefault(shown, []).append(f"{loss} + {penalty}")
  lines = [f"Defaults that depend on the method, for {DATASETS[dataset].kind}:"]
  for shown, methods in groups.items():
    lines += [f"  {', '.join(methods)}:", f"    {shown}"]
  lines += [
    "A chosen optimizer brings its own learning_rate and betas. RMSProp has its epsilon outside",
    "the root. Clipping clips every parameter of the critic, biases too.",
    "Defaults of all methods:",
    "  " + _show({name: first[name] for name in common}),
  ]
  kind = DATASETS[dataset].kind
  names = [name for name, row in ARCHITECTURES.items() if kind in row.kinds]
  for name in names if len(names) > 1 else ():
    own = _values(dataset, METHODS["gp"], architecture=(name,))
    lines.append(f"With --architecture={name} and a penalty:")
    lines.append("  " + _show({key: own[key] for key in _OF_NETWORKS if key in own}))
  return "\n".join(lines)


def _values(dataset, pair, **choices) -> dict:
  """The defaults of a method, less those that it does not have and those that name it."""
  loss, penalty = pair
  (settings,) = Grid(dataset, {"loss": (loss,), "penalty": (penalty,)} | choices).settings([0])
  values = {"steps": default_steps(settings)} | dataclasses.asdict(settings)
  return {
    name: value
    for name, value in values.items()
    if value is not None and name not in ("dataset", "loss", "penalty", "seed")
  }


def _show(values: dict) -> str:
  return "  ".join(f"{name}={value}" for name, value in values.items())
