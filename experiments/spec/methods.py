"""Whole methods by name: a loss alone, or a penalty with the loss of its source."""

from wgan_jax.losses import LOSSES
from wgan_jax.penalties import PENALTIES

METHODS = {
  **{loss: (loss, "none") for loss in LOSSES if loss != "wasserstein"},
  **{name: (penalty.loss, name) for name, penalty in PENALTIES.items()},
}
"""By name, a loss and a penalty."""
