"""The length of runs, and the table of defaults that `--help` prints."""

import dataclasses

from experiments.spec.datasets import DATASETS
from experiments.spec.grid import METHODS, Grid
from experiments.spec.networks import ARCHITECTURES
from experiments.spec.presets import PAPER_STEPS, preset_steps
from experiments.spec.settings import Settings

_OF_NETWORKS = (
  "width", "depth", "latent_dim", "batch_size", "learning_rate", "ema_half_life", "steps",
)  # fmt: skip


def default_steps(settings: Settings, preset: str | None = None) -> int:
  """Returns the length of a run unless chosen."""
  source = DATASETS[settings.dataset]
  if preset is not None:
    return preset_steps(preset, source.kind)
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


def defaults_table(dataset: str) -> str:
  """Lists the defaults of each method, for data sets like this one."""
  values = {method: _values(dataset, method) for method in METHODS.values()}
  first = next(iter(values.values()))
  common = [name for name in first if all(own.get(name) == first[name] for own in values.values())]
  groups = {}
  for (loss, penalty, critic), own in values.items():
    shown = _show({name: value for name, value in own.items() if name not in common})
    words = penalty if critic == "plain" else f"{critic} critic"
    groups.setdefault(shown, []).append(f"{loss} + {words}")
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


def _values(dataset, method, **choices) -> dict:
  """The defaults of a method, less those that it does not have and those that name it."""
  named = dict(zip(("loss", "penalty", "critic"), method, strict=True))
  chosen = {name: (value,) for name, value in named.items()}
  (settings,) = Grid(dataset, chosen | choices).settings([0])
  values = {"steps": default_steps(settings)} | dataclasses.asdict(settings)
  return {
    name: value
    for name, value in values.items()
    if value is not None and name not in ("dataset", *named, "seed")
  }


def _show(values: dict) -> str:
  return "  ".join(f"{name}={value}" for name, value in values.items())
