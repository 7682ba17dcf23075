"""Whole methods by name: a loss alone, or a penalty with the loss of its paper."""

from wgan_jax.losses import LOSSES
from wgan_jax.penalties import PENALTIES

METHODS = {
  **{loss: (loss, "none") for loss in LOSSES if loss != "wasserstein"},
  **{penalty: (row.loss, penalty) for penalty, row in PENALTIES.items()},
}
"""By name, a loss and a penalty."""
