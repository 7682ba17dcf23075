"""config.json: which form it has, which version wrote it, and in which environments."""

import dataclasses

import pytest

from experiments.engine.opening import (
  FORMAT,
  check_format,
  read_recorded,
  stamp,
  write_record,
)
from experiments.host.environment import describe_environment
from experiments.host.errors import UserError
from experiments.host.files import read_json, write_json
from experiments.speed.steps import settings_of


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
  for damaged in ({"format": "1"}, {"format": 0}, {"format": True}):
    with pytest.raises(UserError, match="damaged"):
      check_format(damaged, path)


def record(path, **environment):
  settings = dataclasses.asdict(settings_of("ring"))
  settled = {"settings": settings, "flags": {"steps": 1}}
  write_record(path, settled, "digest", describe_environment() | environment)


def test_an_environment_that_changed_is_recorded_and_said(tmp_path, capsys):
  path = tmp_path / "config.json"
  record(path)
  record(path)
  assert "warning" not in capsys.readouterr().err
  record(path, threefry_partitionable=False, processor="another")
  assert "warning: processor, threefry_partitionable changed since" in capsys.readouterr().err
  (resumed,) = read_json(path)["resumed_in"]
  assert resumed["processor"] == "another"


def test_what_an_earlier_version_did_not_record_has_not_changed(tmp_path, capsys):
  path = tmp_path / "config.json"
  record(path)
  earlier = read_json(path)
  del earlier["environment"]["prng"]
  write_json(path, earlier)
  record(path)
  assert "warning" not in capsys.readouterr().err
  assert read_recorded(path, "run") == [settings_of("ring")]


def test_a_run_of_other_random_numbers_is_refused_by_their_name(tmp_path):
  path = tmp_path / "config.json"
  record(path, prng="rbg")
  with pytest.raises(UserError, match=r"numbers of rbg, JAX has .*JAX_DEFAULT_PRNG_IMPL=rbg"):
    read_recorded(path, "run")
