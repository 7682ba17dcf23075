"""README and docs: code runs, commands parse, links lead somewhere, sizes hold."""

import importlib
import pathlib
import re
import shlex
import subprocess

import numpy as np
import pytest
from absl import flags

import wgan_jax
from experiments import mnist
from experiments.report.features import load_features, measure_features
from experiments.spec.datasets import load_dataset
from experiments.spec.grid import Grid
from experiments.spec.reading import read_choices, read_settings

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PAGES += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}


def blocks(text, language):
  return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text):
  """Arguments of `python -m experiments.*` in bash blocks and in the table of commands."""
  lines = [line for block in blocks(text, "bash") for line in block.splitlines()]
  found = [line[line.index("-m experiments.") + 3 :] for line in lines if "-m experiments." in line]
  if "| `python -m experiments.` |" in text:
    table = text.split("| `python -m experiments.` |")[1].split("\n\n")[0]
    found += [f"experiments.{row}" for row in re.findall(r"^\| `(\w+[^`]*)`", table, re.MULTILINE)]
  return found


COMMANDS = sorted({command for text in TEXTS.values() for command in commands(text)})


@pytest.fixture(scope="module")
def example():
  """The names that the README's first two Python blocks define."""
  names = {}
  for block in blocks(README, "python")[:2]:
    exec(block, names)
  return names


def test_the_example_learns_where_the_data_is(example):
  np.testing.assert_allclose(example["state"].generator_params["b"], [3.0, -1.0], atol=0.5)


@pytest.mark.skipif(not hasattr(wgan_jax, "Penalty"), reason="needs wgan_jax.Penalty")
def test_the_example_s_own_penalty_trains(example):
  names = dict(example)
  exec(blocks(README, "python")[2], names)
  _, info = names["step"](
    names["init"](names["jax"].random.key(2), names["hparams"]), names["hparams"], names["data"]
  )
  assert info.finite
  assert info.gradient_penalty > 0
  assert len(blocks(README, "python")) == 3


def test_the_sweep_s_members_learn_at_their_own_rates(example):
  names = dict(example)
  (block,) = blocks(TEXTS["docs/sweeps.md"], "python")
  exec(block, names)
  assert names["members"].alive.all()
  shift = names["members"].state.generator_params["b"]
  np.testing.assert_allclose(shift[1], [3.0, -1.0], atol=0.5)


def test_the_exported_features_are_read(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (block,) = blocks(TEXTS["docs/measures.md"], "python")
  exec(block, {})
  digits = load_dataset("digits")
  file = load_features(tmp_path / "features.bin", digits)
  assert file.n_features == 64
  measured = measure_features(file, {"training data": digits.held_out[::2]}, digits.held_out)
  assert 0 < measured["training data"][f"frechet_{file.sha256[:8]}"] < 10


@pytest.mark.parametrize(
  ("index", "library"), [(0, "flax"), (1, "equinox"), (2, "haiku"), (3, "jax")]
)
def test_another_library_s_critic_scores_one_sample(example, index, library):
  pytest.importorskip(library)
  names = {}
  exec(blocks(TEXTS["docs/networks.md"], "python")[index], names)
  critic, jax = names["critic"], example["jax"]
  gradient = jax.grad(critic.apply, argnums=1)(critic.init(jax.random.key(0)), np.ones(2))
  assert gradient.shape == (2,)
  assert np.abs(gradient).max() > 0


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command):
  module, *arguments = shlex.split(command, comments=True)
  launcher = importlib.import_module(module)
  flag_values = flags.FlagValues()
  launcher.register(flag_values)
  assert flag_values([module, *arguments])[1:] == []
  if module == "experiments.mnist":
    read_settings(flag_values, "mnist")
  if module == "experiments.images" and flag_values.dataset:
    read_settings(flag_values, flag_values.dataset)
  if module == "experiments.toy":
    read_settings(flag_values, flag_values.dataset)
  if module == "experiments.sweep":
    Grid(flag_values.dataset, read_choices(flag_values))


def test_every_launcher_is_in_the_table_of_commands():
  launchers = {path.stem for path in (ROOT / "experiments").glob("*.py")} - {"__init__"}
  table = README.split("| `python -m experiments.` |")[1].split("\n\n")[0]
  assert set(re.findall(r"^\| `(\w+)", table, re.MULTILINE)) == launchers


def test_the_two_lines_of_the_quick_start():
  train, test = blocks(README, "bash")[:2]
  for line in (train, test):
    assert line.count("\n") == 1
    assert line.startswith("python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt")
  assert train.endswith(
    "-e '.[experiments]' && .venv/bin/python -m experiments.mnist --penalty=gp\n"
  )
  assert test.endswith("-e '.[test]' && .venv/bin/python -m pytest\n")


def test_the_readme_is_short():
  assert len(README.splitlines()) <= 160
  assert len(README.split()) <= 1000


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
  text = re.sub(r"```.*?```", "", TEXTS[page], flags=re.DOTALL)
  links = re.findall(r'src="([^"]+)"', text) + re.findall(r"\]\(([^)\s]+)\)", text)
  for link in links:
    if not link.startswith("http"):
      name, _, anchor = link.partition("#")
      target = (ROOT / page).parent / name if name else ROOT / page
      assert target.exists(), link
      if anchor:
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]


def test_the_docs_are_small_and_hold_no_reports():
  tracked = subprocess.run(
    ["git", "ls-files", "-z", "docs"], cwd=ROOT, capture_output=True, text=True, check=False
  )
  if tracked.returncode:
    pytest.skip("not a git clone")
  paths = [ROOT / name for name in tracked.stdout.split("\0")[:-1]]
  assert not [path.name for path in paths if path.suffix == ".html"]
  assert sum(path.stat().st_size for path in paths if path.exists()) < 4_000_000


def test_every_figure_is_shown():
  shown = "".join(TEXTS.values()) + (ROOT / "docs/reproduction/results.json").read_text("utf-8")
  pictures = [p for p in (ROOT / "docs").rglob("*") if p.suffix in (".png", ".webp")]
  assert [p.name for p in pictures if p.name not in shown] == []


def test_the_papers_and_the_courses_commands_are_theirs():
  """The numbers of both Algorithm 1, and of the course's exercise."""

  def settings(start):
    (command,) = [c for c in commands(README) if c.startswith(f"experiments.mnist {start}")]
    flag_values = flags.FlagValues()
    mnist.register(flag_values)
    flag_values(shlex.split(command))
    return read_settings(flag_values, "mnist")

  wgan = settings("--penalty=clip --preset")
  assert (wgan.optimizer, wgan.learning_rate, wgan.clip_value) == ("rmsprop", 5e-5, 0.01)
  assert (wgan.architecture, wgan.batch_size, wgan.n_critic) == ("dcgan", 64, 5)
  wgan_gp = settings("--penalty=gp --preset")
  assert (wgan_gp.optimizer, wgan_gp.learning_rate) == ("adam", 1e-4)
  assert (wgan_gp.beta1, wgan_gp.beta2, wgan_gp.lambda_gp, wgan_gp.n_critic) == (0, 0.9, 10, 5)
  course = settings("--penalty=gp --architecture")
  assert (course.batch_size, course.latent_dim, course.learning_rate) == (128, 64, 2e-4)
  assert (course.beta1, course.beta2, course.lambda_gp, course.n_critic) == (0.5, 0.999, 10, 5)
