"""Presets: settings by name that stand in a publication or an open record."""

from experiments.spec.datasets import DATASETS
from experiments.spec.grid import Grid
from experiments.spec.setting import ROWS
from wgan_jax import Hparams

PAPER_STEPS = {"images": 20_000, "points": 100_000}
"""The length of a run with --preset=paper, by kind of data."""
PLAIN_DCGAN = {"architecture": "dcgan", "width": 32, "batch_size": 64}
"""Networks of images that no search has tuned: those of the papers' presets and of the claims."""
COLOUR_PRESETS = {
  # Gulrajani et al., 2017, arXiv 1704.00028v3, appendix F, for CIFAR-10.
  "wgan_gp_resnet": {
    "architecture": "resnet", "width": 128, "latent_dim": 128, "batch_size": 64,
    "generator_batch_size": 128, "n_critic": 5, "learning_rate": 2e-4, "beta1": 0.0, "beta2": 0.9,
    "schedule": "linear",
  },
  # As long as the best open record of a plain convolutional WGAN-GP, which needs one critic update
  # only, in bfloat16 and with an averaged generator.
  "fast": {
    "architecture": "dcgan", "width": 64, "latent_dim": 128, "batch_size": 128,
    "generator_batch_size": 256, "n_critic": 1, "learning_rate": 2e-4, "beta1": 0.0, "beta2": 0.9,
    "schedule": "linear", "compute_dtype": "bfloat16", "ema_half_life": 500_000.0,
  },
}  # fmt: skip
"""The settings of the presets for colour images, by name."""
_COLOUR_STEPS = 100_000


def preset_steps(preset: str, kind: str) -> int:
  """Returns the length of a run with a preset, on a kind of data."""
  return _COLOUR_STEPS if preset in COLOUR_PRESETS else PAPER_STEPS[kind]


def preset_settings(
  preset: str, dataset: str, loss: str, penalty: str, optimizer: str | None
) -> dict:
  """Returns the settings of a preset that are no defaults; another optimiser keeps its own."""
  if preset == "paper":
    return paper_preset(dataset, loss, penalty, optimizer)
  of_adam = () if optimizer in (None, "adam") else ("learning_rate", "beta1", "beta2")
  return {name: value for name, value in COLOUR_PRESETS[preset].items() if name not in of_adam}


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
