"""Flags that follow from settings, and rows that become values of flags."""

import json

import jax.numpy as jnp
import optax
import pytest
from absl import flags
from helpers.launching import launch, train

from experiments import images, mnist, sweep, toy
from experiments.host.errors import UserError
from experiments.host.files import read_lines
from experiments.spec.datasets import DATASETS
from experiments.spec.defaults import defaults_table
from experiments.spec.grid import METHODS, Grid, method_name
from experiments.spec.reading import read_choices, read_settings
from experiments.spec.setting import ROWS
from experiments.spec.settings import SETTINGS, Settings
from wgan_jax import LOSSES, OPTIMIZERS, PENALTIES, Optimizer

LAUNCHERS = (mnist, images, toy, sweep)
OF_FOLDERS = DATASETS["folder"].options


def parse(launcher, *arguments):
  flag_values = flags.FlagValues()
  launcher.register(flag_values)
  flag_values(["launcher", *arguments])
  return flag_values


def read(*arguments, dataset="digits"):
  return read_settings(parse(mnist, *arguments), dataset)


@pytest.mark.parametrize(
  ("launcher", "idle"),
  [
    (mnist, {"dim", "n_funnels", "data_seed", *OF_FOLDERS}),
    (images, {"dim", "n_funnels", "data_seed", "n_classes"}),
    (toy, {"architecture", "conditional", *OF_FOLDERS}),
    (sweep, {"seed", "n_classes"}),
  ],
)
def test_every_setting_that_a_launcher_can_use_is_a_flag(launcher, idle):
  flag_values = parse(launcher)
  assert {name for name in SETTINGS if name not in flag_values} == idle


def test_presets_for_colour_are_settings_that_a_flag_decides_against():
  arguments = ("--preset=wgan_gp_resnet", "--conditional=acgan", "--width=8")
  flag_values = parse(images, *arguments)
  made = read_settings(flag_values, "cifar10")
  assert (made.architecture, made.width, made.conditional) == ("resnet", 8, "acgan")
  assert (made.batch_size, made.generator_batch_size, made.n_critic) == (64, 128, 5)
  assert (made.learning_rate, made.beta1, made.decay_steps) == (2e-4, 0.0, 100_000)
  fast = read_settings(parse(images, "--preset=fast", "--optimizer=rmsprop"), "cifar10")
  assert (fast.n_critic, fast.compute_dtype, fast.beta1) == (1, "bfloat16", None)
  assert fast.learning_rate != 2e-4  # Adam's.


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_help_shows_every_flag_with_its_bounds(launcher, capsys):
  assert launch(launcher, "--help") == 0
  lines = capsys.readouterr().out.splitlines()
  flag_values = parse(launcher)
  for name in flag_values:
    (line,) = [line for line in lines if line.startswith(f"  --{name}=")]
    assert name != "width" or "(1 to 4096)" in line
  assert sum("Only with --penalty=clip." in line for line in lines) == 1
  assert sum("Only with --optimizer=adam." in line for line in lines) == 1


@pytest.mark.parametrize("dataset", ["mnist", "ring"])
def test_the_table_of_defaults_holds_every_default(dataset):
  lines = defaults_table(dataset).splitlines()
  for loss, penalty, critic in METHODS.values():
    words = f"{loss} + {penalty if critic == 'plain' else critic + ' critic'}"
    (at,) = [i for i, line in enumerate(lines) if words in line.strip(": ").split(", ")]
    shown = lines[at + 1] + lines[lines.index("Defaults of all methods:") + 1]
    chosen = {"loss": (loss,), "penalty": (penalty,), "critic": (critic,)}
    (made,) = Grid(dataset, chosen).settings([0])
    for name in set(SETTINGS) - {"dataset", "seed", *chosen}:
      value = getattr(made, name)
      assert value is None or f"  {name}={value}" in shown + "  ", (words, name)


def test_a_penalty_is_a_method_with_the_loss_of_its_source():
  assert METHODS["r1"] == ("nonsaturating", "r1", "plain")
  for penalty, row in PENALTIES.items():
    assert METHODS[penalty] == (row.loss, penalty, "plain")
    assert row.loss in LOSSES


def test_a_run_has_the_name_of_its_method():
  runs = Grid("ring", {"methods": tuple(METHODS)}).settings([0])
  assert [method_name(run) for run in runs] == list(METHODS)


def test_a_critic_by_construction_has_no_penalty_unless_asked_for():
  made = read("--critic=aol")
  assert (made.penalty, made.n_critic, made.lambda_gp) == ("none", 5, None)
  assert (made.architecture, made.learning_rate, made.beta2) == ("infogan", 3e-3, 0.9)
  assert read("--critic=aol", "--loss=hinge").learning_rate == 1e-3
  assert read("--critic=aol", "--optimizer=rmsprop").learning_rate == 5e-5
  assert made.method == "wasserstein, none, aol critic"
  assert read("--critic=aol", "--penalty=gp").penalty == "gp"
  assert read("--critic=aol", "--preset=paper").penalty == "none"
  choices = read_choices(parse(sweep, "--critic=plain,aol", "--loss=hinge,wasserstein"))
  methods = [run.method for run in Grid("digits", choices).settings([0])]
  assert methods == [
    "hinge, gp", "hinge, none, aol critic", "wasserstein, gp", "wasserstein, none, aol critic",
  ]  # fmt: skip
  by_name = Grid("digits", {"methods": ("aol", "gp")}).settings([0])
  assert [run.method for run in by_name] == methods[:1:-1]
  for arguments, words in [
    ("--width=5", "width=5 is odd"), ("--conditional=acgan", "conditional=acgan does nothing")
  ]:  # fmt: skip
    with pytest.raises(UserError, match=words):
      read("--critic=orthonormal", arguments)


def test_a_flag_that_is_not_given_is_left_to_the_method():
  assert read_choices(parse(sweep)) == {}
  assert read_choices(parse(sweep, "--width=8,16", "--fixed_generator")) == {
    "width": (8, 16),
    "fixed_generator": (True,),
  }
  assert read("--nofixed_generator") == read()


def test_a_yes_or_no_is_swept():
  for arguments, values in [
    (["--fixed_generator=true,false"], (True, False)),
    (["--fixed_generator"], (True,)),
    (["--nofixed_generator"], (False,)),
  ]:
    assert read_choices(parse(sweep, *arguments)) == {"fixed_generator": values}
  assert Grid("ring", {"fixed_generator": (True, False)}).size == 2
  with pytest.raises(flags.IllegalFlagValueError, match="maybe"):
    parse(sweep, "--fixed_generator=true,maybe")


def test_the_earlier_name_of_slow_every_is_kept():
  for name in ("slow_every", "exact_every"):
    flag_values = parse(mnist, f"--{name}=40")
    assert flag_values.slow_every == flag_values.exact_every == 40


def test_auto_has_the_defaults_of_images_and_is_no_data_set():
  choices = {"width": (8, 16)}
  assert Grid("auto", choices).size == Grid("mnist", choices).size == 2
  with pytest.raises(UserError, match="dataset='auto' is none of"):
    Grid("auto", {}).settings([0])


OWN = {
  "loss": LOSSES["hinge"]._replace(estimate_name="own_estimate"),
  "penalty": PENALTIES["gp"]._replace(cost=lambda norms: jnp.mean(norms), lambda_gp=3.0),
  "optimizer": Optimizer(lambda rate, hparams: optax.sgd(rate), {"learning_rate": 0.0625}),
}


@pytest.fixture
def own(monkeypatch):
  """A loss, a penalty, an optimiser and a data set of a user's own, as one row each."""
  for name, row in OWN.items():
    monkeypatch.setitem(ROWS[name], "own", row)
  assert {id(rows) for rows in ROWS.values()} >= {id(LOSSES), id(PENALTIES), id(OPTIMIZERS)}
  load = DATASETS["digits"].load
  source = DATASETS["digits"]._replace(
    load=lambda name, data_dir, n_funnels: load("digits", data_dir), options={"n_funnels": 7}
  )
  monkeypatch.setitem(DATASETS, "own", source)


FLAGS = ("--loss=own", "--penalty=own", "--optimizer=own")


def test_a_row_is_a_value_of_a_flag_with_defaults_and_names(own):
  made = read(*FLAGS)
  assert (made.lambda_gp, made.learning_rate, made.beta1, made.beta2) == (3.0, 0.0625, None, None)
  assert (made.n_critic, made.clip_value) == (1, None)
  assert made.run_name() == "digits-own-own-seed0-optimizer_own"
  assert made.program_name().startswith("digits-own-own-dcgan-")
  assert made.config().penalty_row is OWN["penalty"]
  assert made.hparams().lambda_gp == 3
  assert read("--penalty=own", "--lambda_gp=7").hparams().lambda_gp == 7
  assert Grid("own", {}).settings([0])[0].n_funnels == 7


def test_a_penalty_without_a_weight_of_its_own_has_that_of_hparams(own, monkeypatch):
  monkeypatch.setitem(PENALTIES, "own", OWN["penalty"]._replace(lambda_gp=None))
  assert read("--penalty=own").hparams().lambda_gp == 10


def test_a_row_makes_flags_idle(own, tmp_path, capsys):
  for arguments, message in [
    (["--optimizer=own", "--beta2=0.5"], "--beta2 does nothing with --optimizer=own: leave it out"),
    (["--penalty=own", "--clip_value=1"], "--clip_value does nothing with --penalty=own: leave it"),
  ]:
    assert train(tmp_path / "run", *arguments) == 2
    assert message in capsys.readouterr().err


def test_rows_form_a_grid(own):
  flag_values = parse(
    sweep, "--loss=wasserstein,own", "--penalty=own,clip", "--lambda_gp=1,2,4", "--optimizer=own"
  )
  grid = Grid("digits", read_choices(flag_values))
  assert grid.size == 2 * (3 + 1)
  assert {made.learning_rate for made in grid.settings([0])} == {0.0625}


def test_rows_train(own, tmp_path):
  path = tmp_path / "run"
  assert train(path, *FLAGS, "--steps=2", "--log_every=1") == 0
  rows = read_lines(path / "metrics.jsonl")
  assert [row["step"] for row in rows] == [1, 2]
  for row in rows:
    assert {"own_estimate", "held_out_own_estimate", "gradient_penalty"} <= set(row)
    # The critic minimises the hinge loss, 2 (1 - estimate), and 3 times the penalty.
    expected = 2 * (1 - row["own_estimate"]) + 3 * row["gradient_penalty"]
    assert row["critic_loss"] == pytest.approx(expected, rel=1e-5)
  recorded = json.loads((path / "config.json").read_text())
  assert Settings.of_record(recorded["settings"]).optimizer == "own"


def test_a_config_of_another_format_ends_with_the_version_that_wrote_it(tmp_path, capsys):
  path = tmp_path / "run"
  path.mkdir()
  (path / "config.json").write_text('{"format": 99, "version": "9.8.7", "settings": {"new": 1}}')
  assert train(path, "--steps=2") == 2
  error = capsys.readouterr().err
  assert "config.json: format 99, written by wgan_jax 9.8.7" in error
  assert error.count("\n") == 1
  # Of this format, but by hand.
  machine = {"devices": 1, "device": "cpu", "threads": 1, "jax": ""}
  whole = {"data_sha256": "", "flags": {"steps": 2}, "environment": machine, "resumed_in": []}
  record = {"format": 2, "settings": {"new": 1}} | whole
  (path / "config.json").write_text(json.dumps(record))
  assert train(path, "--steps=2") == 2
  assert "damaged, or of another version: unknown setting new" in capsys.readouterr().err
