"""The lab: what claims train with."""

import jax
import pytest

from experiments.claims.lab import Lab


def test_settings_that_are_looked_at_are_of_one_program(tmp_path):
  lab = Lab(tmp_path, None, {})
  choices = {"loss": "wasserstein", "penalty": "gp", "width": 4, "depth": 1}
  choices |= {"batch_size": 8, "n_critic": 1}

  def look(key, state, data):
    return {"step": state.step, "draw": jax.random.normal(key), "data": data["value"]}

  runs = lab.settings("ring", 1, **choices | {"lambda_gp": (0.1, 1.0)})
  found = lab.observe_settings(runs, [1], look, {"value": 3.0})
  assert found.seen["step"].tolist() == [[1], [1]]
  assert found.seen["data"].tolist() == [[3.0], [3.0]]
  others = lab.settings("ring", 1, **choices | {"width": (4, 8)})
  with pytest.raises(ValueError, match="numbers and seeds only"):
    lab.observe_settings(others, [1], look)
