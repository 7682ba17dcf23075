"""Settings: defaults, names, records, and what they refuse."""

import dataclasses
import math
import typing

import pytest

from experiments.spec.datasets import DATASETS
from experiments.spec.grid import Grid
from experiments.spec.notes import notes
from experiments.spec.settings import SETTINGS, STATIC, Settings
from wgan_jax.config import Config, Hparams


def settings(dataset="digits", **choices):
  (made,) = Grid(dataset, {name: (value,) for name, value in choices.items()}).settings([0])
  return made


def test_every_setting_reaches_the_training_step_the_networks_or_the_data():
  used = {field.name for field in dataclasses.fields(Config)} | set(Hparams._fields)
  used |= {"architecture", "critic", "width", "depth", "latent_dim"}  # networks()
  used |= {
    "dataset",
    "conditional",
    *(name for source in DATASETS.values() for name in source.options),
  }  # load()
  used -= {"unroll"}  # Of the architecture.
  assert used | {"seed"} == set(SETTINGS) == {field.name for field in dataclasses.fields(Settings)}
  assert set(STATIC) == set(SETTINGS) - set(Hparams._fields) - {"seed"}


def test_a_setting_that_may_mean_nothing_may_be_none_or_has_a_value_for_that():
  for field in dataclasses.fields(Settings):
    setting = SETTINGS[field.name]
    optional = type(None) in typing.get_args(field.type)
    idle = setting.of is not None and setting.otherwise is None
    assert optional == (setting.optional or idle), field.name
    assert (setting.of is None) == (setting.applies is None), field.name


@pytest.mark.parametrize(
  ("loss", "penalty", "expected"),
  [
    ("wasserstein", "gp", {"beta2": 0.9, "n_critic": 5, "lambda_gp": 10.0}),
    ("wasserstein", "gp_one_sided", {"beta2": 0.9, "n_critic": 5, "lambda_gp": 10.0}),
    ("wasserstein", "none", {"beta2": 0.999, "n_critic": 1, "clip_value": None}),
    ("nonsaturating", "none", {"beta2": 0.999, "n_critic": 1}),
    ("nonsaturating", "clip", {"beta2": 0.999, "n_critic": 1, "clip_value": 0.1}),
    ("minimax", "gp", {"beta2": 0.999, "n_critic": 1, "lambda_gp": 10.0}),
  ],
)
def test_defaults_of_methods_trained_by_adam(loss, penalty, expected):
  made = settings("mnist", loss=loss, penalty=penalty, architecture="dcgan")
  expected |= {"optimizer": "adam", "learning_rate": 1e-3, "beta1": 0.5}
  assert {name: getattr(made, name) for name in expected} == expected


def test_clipping_has_its_papers_optimiser():
  made = settings("mnist", penalty="clip")
  assert (made.optimizer, made.beta1, made.beta2) == ("rmsprop", None, 0.99)
  assert (made.n_critic, made.clip_value, made.lambda_gp) == (5, 0.1, None)
  assert settings("ring", penalty="clip").clip_value == 0.01


def test_networks_have_their_own_defaults():
  made = settings("mnist")
  assert (made.architecture, made.width, made.latent_dim, made.batch_size) == ("infogan", 8, 16, 32)
  assert (made.learning_rate, made.ema_half_life) == (1e-3, 1e4)
  # An optimiser that the networks say nothing of keeps its own rate.
  assert settings("mnist", optimizer="rmsprop").learning_rate == 5e-5
  plain = settings("mnist", architecture="dcgan")
  assert (plain.width, plain.latent_dim, plain.batch_size) == (16, 64, 32)
  assert (plain.learning_rate, plain.ema_half_life) == (1e-3, 0.0)
  # Other methods have plain networks, points always the same.
  assert {settings("mnist", penalty=name).architecture for name in ("clip", "none")} == {"dcgan"}
  assert settings("mnist", loss="nonsaturating", penalty="r1").architecture == "dcgan"
  assert settings("ring", penalty="clip").architecture == "mlp"
  # Nothing to average.
  assert settings("mnist", fixed_generator=True).ema_half_life is None


def test_points_have_their_own_defaults():
  made = settings("ring")
  assert (made.architecture, made.width, made.depth, made.latent_dim) == ("mlp", 64, 3, 2)
  assert (made.batch_size, made.learning_rate, made.lambda_gp) == (256, 1e-3, 0.1)
  assert settings("ring", optimizer="rmsprop").learning_rate == 5e-5
  # A penalty of another paper keeps its own weight.
  assert settings("ring", penalty="r1").lambda_gp == 10


def test_every_setting_is_in_the_folders_name_when_it_is_no_default():
  changed = {
    "architecture": "resnet", "width": 34, "latent_dim": 3, "batch_size": 5, "n_critic": 2,
    "optimizer": "rmsprop", "learning_rate": 1.25e-4, "beta1": 0.25, "beta2": 0.5,
    "lambda_gp": 0.1, "fixed_generator": True, "compute_dtype": "bfloat16",
    "critic_learning_rate": 1e-3, "ema_half_life": 2e4, "generator_batch_size": 7,
    "conditional": "acgan", "micro_batches": 2, "rematerialize": True,
    "penalty": "gp_one_sided", "loss": "minimax", "critic": "aol",
  }  # fmt: skip
  base = settings("mnist")
  assert base.run_name() == "mnist-wasserstein-gp-seed0"
  names = {settings("mnist", **{name: value}).run_name() for name, value in changed.items()}
  names |= {settings("digits").run_name(), dataclasses.replace(base, seed=1).run_name()}
  names |= {settings("mnist", penalty="clip", clip_value=0.1).run_name()}
  assert len(names | {base.run_name()}) == len(changed) + 4
  decays = [{"schedule": name, "decay_steps": n} for name in ("linear", "cosine") for n in (7, 8)]
  assert len({settings("mnist", **each).run_name() for each in decays} | {base.run_name()}) == 5
  own = {"n_funnels": 16, "data_seed": 1, "depth": 2, "dim": 3}
  of_funnels = {settings("funnels", **{name: value}).run_name() for name, value in own.items()}
  assert len(of_funnels | {settings("funnels").run_name()}) == len(own) + 1
  options = {"size": "64x32", "channels": 1, "window": 100, "skip_corrupt": True}
  folder = {"folder": "/a folder/of cats", "architecture": "dcgan"}
  named = {
    settings("folder", **folder, **{name: each}).run_name() for name, each in options.items()
  }
  plain = settings("folder", **folder).run_name()
  assert plain == "of cats-wasserstein-gp-seed0"
  assert len(named | {plain}) == len(options) + 1
  # Of all settings, none was left out; that of the number of classes the files decide.
  given = {*changed, *own, *decays[0], *options, "folder", "clip_value", "dataset", "seed"}
  assert given | {"n_classes"} == set(SETTINGS)


def test_names_are_those_of_folders_that_there_are():
  made = settings("digits", optimizer="rmsprop", learning_rate=1.25e-4, fixed_generator=True)
  assert made.run_name() == (
    "digits-wasserstein-gp-seed0-optimizer_rmsprop-learning_rate0.000125-fixed_generator1"
  )
  # Close values have folders of their own.
  assert settings("digits", lambda_gp=10.0001).run_name().endswith("-lambda_gp10.0001")
  assert settings("ring", width=8).program_name() == (
    "ring-wasserstein-gp-mlp-width8-depth3-latent_dim2-batch_size256-n_critic5-adam-constant-float32"
  )


def test_runs_share_a_program_name_if_only_traced_numbers_or_the_seed_differ():
  base = settings()
  for name in SETTINGS:
    if name not in STATIC:
      value = getattr(base, name)
      other = dataclasses.replace(base, **{name: value + 1 if type(value) is int else value})
      assert other.program_name() == base.program_name()
  assert settings(lambda_gp=1.0).program_name() == base.program_name()
  assert settings(width=9).program_name() != base.program_name()


def test_a_record_is_read_as_it_was_written():
  made = settings("funnels", penalty="clip")
  assert Settings.of_record(dataclasses.asdict(made)) == made


def test_a_record_from_before_there_was_a_compute_dtype_is_of_float32():
  made = settings()
  record = dataclasses.asdict(made)
  del record["compute_dtype"]
  assert Settings.of_record(record) == made


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"momentum": 0.9}, "unknown setting momentum"),
    ({"width": None}, "width=None is not of type int"),
    ({"width": True}, "width=True is not of type int"),
    ({"width": 32.0}, "width=32.0 is not of type int"),
    ({"width": 0}, "width=0 is not between 1 and 4096"),
    ({"seed": -1}, "seed=-1 is not between"),
    ({"learning_rate": 1}, "learning_rate=1 is not of type float"),
    ({"learning_rate": math.nan}, "learning_rate=nan is not between"),
    ({"loss": "vae"}, "loss='vae' is none of wasserstein, "),
    ({"dataset": "auto"}, "dataset='auto' is none of mnist, "),
    ({"compute_dtype": "float8"}, "compute_dtype='float8' is none of"),
    ({"fixed_generator": 0}, "fixed_generator=0 is not of type bool"),
    # A penalty without a weight would train as if there were none.
    ({"lambda_gp": None}, "lambda_gp=None, but penalty=gp needs it"),
    ({"penalty": "clip", "clip_value": 0.1}, "lambda_gp=10.0 does nothing with penalty=clip"),
    ({"n_funnels": 4}, "n_funnels=4 does nothing with dataset=digits"),
    ({"dataset": "ring", "latent_dim": 2}, "architecture=infogan does not draw points"),
    ({"schedule": "cosine"}, "decay_steps=None, but schedule=cosine needs it"),
    ({"decay_steps": 9}, "decay_steps=9 does nothing with schedule=constant"),
    ({"ema_half_life": -1.0}, "ema_half_life=-1.0 is not between 0.0 and"),
    (
      {"fixed_generator": True, "ema_half_life": None, "critic_learning_rate": 0.1},
      "critic_learning_rate=0.1 does nothing with fixed_generator=True",
    ),
  ],
  ids=lambda value: str(value)[:40],
)
def test_a_wrong_record_is_refused_by_the_name_of_the_setting(changed, message):
  with pytest.raises(ValueError, match="^" + message):
    Settings.of_record(dataclasses.asdict(settings()) | changed)


def test_no_average_was_none_before_it_could_be_zero():
  made = settings("ring")
  assert made.ema_half_life == 0.0
  assert Settings.of_record(dataclasses.asdict(made) | {"ema_half_life": None}) == made
  given = settings("funnels")
  assert given.ema_half_life is None
  assert Settings.of_record(dataclasses.asdict(given)) == given


def test_a_record_that_lacks_settings_is_refused():
  record = dataclasses.asdict(settings())
  del record["width"], record["depth"]
  with pytest.raises(ValueError, match="missing setting width, depth"):
    Settings.of_record(record)
  for record in (None, [], "gp"):
    with pytest.raises(ValueError, match="holds no settings"):
      Settings.of_record(record)


@pytest.mark.parametrize(
  ("choices", "words"),
  [
    ({"penalty": "gp"}, None),
    ({"penalty": "clip"}, None),
    ({"loss": "hinge", "penalty": "none"}, None),
    ({"penalty": "none"}, "no Lipschitz constraint: the estimate is not a distance"),
    ({"penalty": "clip", "optimizer": "adam"}, "unstable with momentum"),
    ({"loss": "minimax", "penalty": "gp"}, "saturates"),
    (
      {"schedule": "linear", "decay_steps": 49},
      "the learning rate is 0 after step 49: of 50 steps",
    ),
    ({"schedule": "linear", "decay_steps": 50}, None),
    ({"ema_half_life": 3200.0}, None),
    ({"ema_half_life": 3201.0}, "the run's 3200 images are fewer than --ema_half_life"),
  ],
  ids=str,
)
def test_what_a_paper_advises_against_is_noted(choices, words):
  found = notes(settings(**{"architecture": "dcgan", "batch_size": 64} | choices), 50)
  assert len(found) == (words is not None)
  assert words is None or words in found[0]
