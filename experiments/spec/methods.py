"""The methods that users choose from, and the defaults that each brings."""

from experiments.spec.datasets import GIVEN_GENERATOR, N_FUNNELS, POINTS
from wgan_jax.config import Hparams
from wgan_jax.penalties import PENALTIES

ARCHITECTURES = ("dcgan", "mlp")
# The penalties that their papers add to a cross-entropy loss.
_OF_CROSS_ENTROPY = ("r1", "r2", "dragan")
METHODS = {
  "minimax": ("minimax", "none"),
  "nonsaturating": ("nonsaturating", "none"),
  "hinge": ("hinge", "none"),
  "relativistic_average": ("relativistic_average", "none"),
  **{
    penalty: ("nonsaturating" if penalty in _OF_CROSS_ENTROPY else "wasserstein", penalty)
    for penalty in PENALTIES
  },
}
"""Loss and penalty by name: a loss alone, or a penalty with the loss of its paper."""

_PAPER_PENALTIES = ("gp", "gp_one_sided")  # Those of Gulrajani et al., 2017.
_WIDTHS = {"dcgan": 32, "mlp": 256}
_COMMON = ("architecture", "width", "latent_dim", "batch_size", "compute_dtype")
_COMMON_POINTS = ("width", "depth", "latent_dim", "batch_size", "compute_dtype")


def method_defaults(
  dataset: str,
  loss: str,
  penalty: str,
  optimizer: str | None = None,
  architecture: str | None = None,
) -> dict:
  """The defaults of everything but the data set and the seed, for a method.

  Args:
    dataset: points have other defaults than images.
    loss: a key of `wgan_jax.losses.LOSSES`.
    penalty: a key of `wgan_jax.penalties.PENALTIES`.
    optimizer: the user's choice, or None for the method's.
    architecture: one of `ARCHITECTURES`, or None for the data set's.

  Returns:
    Values by flag name; None where the method or the data set has no such thing.
  """
  points, given = dataset in POINTS, dataset in GIVEN_GENERATOR
  architecture = architecture or ("mlp" if points else "dcgan")
  wasserstein = loss == "wasserstein" and penalty != "none"
  row = PENALTIES[penalty]
  penalised = row.cost is not None
  lambda_gp = Hparams().lambda_gp if row.lambda_gp is None else row.lambda_gp
  if points and not given and penalty in _PAPER_PENALTIES:
    lambda_gp = 0.1  # As in the code of its authors; where the generator is given, as their paper.
  if optimizer is None:
    optimizer = "rmsprop" if wasserstein and penalty == "clip" else "adam"
  adam = optimizer == "adam"
  return {
    "architecture": architecture,
    "width": 64 if points else _WIDTHS[architecture],
    "depth": 3 if architecture == "mlp" else None,
    "latent_dim": None if given else 2 if points else 64,
    "batch_size": 256 if points else 64,
    "n_critic": 5 if wasserstein else 1,
    "optimizer": optimizer,
    "learning_rate": (1e-3 if points else 2e-4) if adam else 5e-5,
    "decay_steps": 0,
    "beta1": 0.5 if adam else None,
    "beta2": (0.9 if wasserstein and penalised else 0.999) if adam else 0.99,
    "lambda_gp": lambda_gp if penalised else None,
    "clip_value": 0.01 if penalty == "clip" else None,
    "fixed_generator": given,
    "compute_dtype": "float32",
    "n_funnels": N_FUNNELS if dataset == "funnels" else None,
    "data_seed": 0 if dataset == "funnels" else None,
  }


def paper_preset(penalty: str, optimizer: str | None) -> dict:
  """What the authors of the gradient penalty ran on points, where it is no default here.

  The weight of the penalty is 0.1 in their code, 10 in their paper. Clipping is as in the first
  paper; a cross-entropy loss, which they did not run, has what the penalty has. An optimiser that
  the user chose keeps its own numbers.

  References:
    Gulrajani et al., 2017, arXiv 1704.00028v3, section 4.1, and the code that belongs to it.
  """
  preset = {"width": 512, "depth": 3, "batch_size": 256}
  if penalty != "clip" and optimizer is None:
    preset |= {"learning_rate": 1e-4, "beta1": 0.5, "beta2": 0.9}
  return preset | ({"lambda_gp": 0.1} if penalty in _PAPER_PENALTIES else {})


def methods_table(dataset: str) -> str:
  """What `--help` tells of the defaults, for data sets of the same kind."""
  lines = ["Defaults that depend on the method:"]
  common = _COMMON_POINTS if dataset in POINTS else _COMMON
  for title, loss, penalty in [
    ("wasserstein + gp, gp_one_sided", "wasserstein", "gp"),
    ("wasserstein + clip", "wasserstein", "clip"),
    ("cross-entropy, or no penalty", "nonsaturating", "none"),
  ]:
    defaults = method_defaults(dataset, loss, penalty)
    own = {k: v for k, v in defaults.items() if k not in (*common, *_PROBLEM) and v is not None}
    lines.append(f"  {title}:\n    {'  '.join(f'{k}={v}' for k, v in own.items())}")
  values = method_defaults(dataset, "wasserstein", "gp")
  lines += [
    "A chosen optimizer brings its own learning_rate and betas. RMSProp has its epsilon outside",
    "the root. Clipping is of every parameter of the critic, biases too.",
    "Defaults of all methods:",
    "  " + "  ".join(f"{name}={values[name]}" for name in common),
  ]
  if dataset not in POINTS:
    lines.append(f"  width={_WIDTHS['mlp']} depth=3 with architecture=mlp")
  return "\n".join(lines)


_PROBLEM = ("architecture", "depth", "fixed_generator", "n_funnels", "data_seed")
