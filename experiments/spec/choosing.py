"""Defaults of settings that depend on other settings: functions of the `Choices`."""

from wgan_jax import Hparams


def of_data_or_networks(name):
  return lambda choices: getattr(choices.data, name) or getattr(choices.row("architecture"), name)


def penalty(critic: str) -> str:
  """The penalty of a critic: one that is 1-Lipschitz by construction needs none."""
  return "gp" if critic == "plain" else "none"


def architecture(choices):
  if choices.is_unclipped_wasserstein:
    return choices.data.architecture
  return choices.data.architecture_otherwise


def optimizer(choices):
  # Clipping with the Wasserstein loss is trained by RMSProp in its paper.
  clipped = "clip_value" in choices.row("penalty").reads
  return "rmsprop" if clipped and choices.is_wasserstein else "adam"


def learning_rate(choices):
  # Of kernels that are bounded before they are applied, a critic learns slowly at smaller rates.
  bounded = choices.is_wasserstein and choices.is_by_construction
  if bounded and choices.optimizer == "adam":
    return 3e-3
  own = choices.row("optimizer").defaults.get("learning_rate", Hparams().learning_rate)
  own = choices.row("architecture").learning_rate.get(choices.optimizer, own)
  return choices.data.learning_rate.get(choices.optimizer, own)


def beta2(choices):
  # Adam's row has WGAN-GP's value; elsewhere its own authors' is usual.
  if choices.optimizer == "adam" and not choices.is_unclipped_wasserstein:
    return 0.999
  return choices.row("optimizer").defaults["beta2"]


def lambda_gp(choices):
  own = choices.row("penalty").lambda_gp
  own = Hparams().lambda_gp if own is None else own
  return choices.data.lambda_gp.get(choices.penalty, own)
