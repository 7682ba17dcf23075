"""The README's own words: its code runs, its commands parse, its files exist."""

import pathlib
import re
import shlex

import numpy as np
import pytest
from absl import flags

from experiments import mnist, sample
from experiments.harness.flags import read_settings
from experiments.harness.settings import METHODS

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
  return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [
  line[line.index("-m experiments.") :]
  for block in blocks("bash")
  for line in block.splitlines()
  if "-m experiments." in line
]


def test_the_fifteen_lines_learn_where_the_data_is():
  (code,) = blocks("python")
  names = {}
  exec(code, names)
  np.testing.assert_allclose(names["state"].generator_params["b"], [3.0, -1.0], atol=0.5)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command):
  module, *arguments = shlex.split(command)[1:]
  launcher = {"experiments.mnist": mnist, "experiments.sample": sample}[module]
  flag_values = flags.FlagValues()
  launcher.register(flag_values)
  assert flag_values([module, *arguments])[1:] == []
  if launcher is mnist:
    read_settings(flag_values, "mnist")


def test_the_two_lines_of_the_quick_start():
  train, test = blocks("bash")[:2]
  for line in (train, test):
    assert line.count("\n") == 1
    assert line.startswith("python3 -m venv .venv && .venv/bin/pip install")
  assert train.endswith("-m experiments.mnist --penalty=gp\n")
  assert test.endswith("-m pytest\n")


def test_files_and_names_exist():
  for source in re.findall(r'src="([^"]+)"', README):
    assert (ROOT / source).is_file(), source
  for name in re.findall(r"`([A-Za-z.]+\.(?:md|cff))`", README):
    assert (ROOT / name).is_file(), name


def test_the_papers_algorithm_is_what_the_default_of_clip_says():
  assert "RMSProp 5e-5, decay 0.99" in METHODS
