"""The README's own words: its code runs, its commands parse, its files exist."""

import pathlib
import re
import shlex

import numpy as np
import pytest
from absl import flags

from experiments import benchmark, evaluate, mnist, reproduce, sample, sweep, toy
from experiments.spec.flags import read_choices, read_settings
from experiments.spec.grid import Grid

ROOT = pathlib.Path(__file__).parents[2]
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
  alone, sweep = blocks("python")
  names = {}
  exec(alone, names)
  np.testing.assert_allclose(names["state"].generator_params["b"], [3.0, -1.0], atol=0.5)
  exec(sweep, names)
  assert names["members"].alive.all()
  shift = names["members"].state.generator_params["b"]
  np.testing.assert_allclose(shift[1], [3.0, -1.0], atol=0.5)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command):
  module, *arguments = shlex.split(command)[1:]
  launcher = {
    "experiments.mnist": mnist,
    "experiments.sample": sample,
    "experiments.sweep": sweep,
    "experiments.benchmark": benchmark,
    "experiments.evaluate": evaluate,
    "experiments.toy": toy,
    "experiments.reproduce": reproduce,
  }[module]
  flag_values = flags.FlagValues()
  launcher.register(flag_values)
  assert flag_values([module, *arguments])[1:] == []
  if launcher is mnist:
    read_settings(flag_values, "mnist")
  if launcher is toy:
    read_settings(flag_values, flag_values.dataset)
  if launcher is sweep and not getattr(flag_values, "report_only", False):
    Grid(getattr(flag_values, "dataset", "digits"), read_choices(flag_values))


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
  for name in re.findall(r"\]\(([^)#:]+)\)", README):
    assert (ROOT / name).is_file(), name
  for name in re.findall(r"`([A-Za-z.]+\.(?:md|cff))`", README):
    assert (ROOT / name).is_file(), name


def test_the_papers_and_the_courses_commands_are_theirs():
  """The numbers of both Algorithm 1, and of the course's exercise."""

  def settings(start):
    (command,) = [c for c in COMMANDS if c.startswith(f"-m experiments.mnist {start}")]
    flag_values = flags.FlagValues()
    mnist.register(flag_values)
    flag_values(shlex.split(command)[1:])
    return read_settings(flag_values, "mnist")

  wgan = settings("--penalty=clip")
  assert (wgan.optimizer, wgan.learning_rate, wgan.clip_value) == ("rmsprop", 5e-5, 0.01)
  assert (wgan.batch_size, wgan.n_critic) == (64, 5)
  wgan_gp = settings("--penalty=gp --learning_rate")
  assert (wgan_gp.optimizer, wgan_gp.learning_rate) == ("adam", 1e-4)
  assert (wgan_gp.beta1, wgan_gp.beta2, wgan_gp.lambda_gp, wgan_gp.n_critic) == (0, 0.9, 10, 5)
  course = settings("--penalty=gp --batch_size")
  assert (course.batch_size, course.latent_dim, course.learning_rate) == (128, 64, 2e-4)
  assert (course.beta1, course.beta2, course.lambda_gp, course.n_critic) == (0.5, 0.999, 10, 5)
