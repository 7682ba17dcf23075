"""config.json: which form it has, and which version wrote it."""

import pytest

from experiments.engine.opening import FORMAT, check_format, stamp
from experiments.host.errors import UserError


def test_a_record_of_another_format_is_refused_by_the_version_that_wrote_it(tmp_path):
  path = tmp_path / "config.json"
  check_format(stamp(), path)
  with pytest.raises(UserError, match="format 1, written by"):
    check_format({"settings": {}}, path)  # From before there was a number.
  newer = {"format": FORMAT + 1, "version": "9.8.7"}
  with pytest.raises(UserError, match=rf"format {FORMAT + 1}, written by wgan_jax 9\.8\.7; .*"):
    check_format(newer, path)
  with pytest.raises(UserError, match="written by wgan_jax of unknown version"):
    check_format({"format": FORMAT + 1}, path)
  for damaged in ({"format": "1"}, {"format": 0}, {"format": True}, [], None):
    with pytest.raises(UserError, match="damaged"):
      check_format(damaged, path)
