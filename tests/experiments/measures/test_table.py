"""One row is all that a measure needs."""

import csv
import json

import jax.numpy as jnp
import numpy as np
import pytest
from helpers.launching import launch

from experiments import evaluate, sweep
from experiments.figures.curves import draw_curves
from experiments.host.files import read_lines
from experiments.measures import samples
from experiments.measures.lines import measured_rows, summarise
from experiments.measures.rows import BEST_BY, PANELS, SAMPLES, Measure, Run
from experiments.measures.table import all_rows, compared, groups
from experiments.spec.datasets import load_dataset
from wgan_jax import Config, Info
from wgan_jax.losses import LOSSES
from wgan_jax.networks import mlp

POINTS = ("--dataset=ring", "--width=4", "--depth=1", "--batch_size=4", "--n_critic=1")
EVERY = ("--steps=4", "--log_every=2", "--exact_every=2", "--sample_every=4")
ADDED = [
  Measure("farthest", "farthest sample", "length", "On the device.", SAMPLES, "farthest sample",
    short="far", compute=lambda view: jnp.abs(view.once(samples.fake)).max()),
  Measure("nearest", "nearest sample", "length", "On the host.", SAMPLES, "farthest sample",
    slow=True, needs=(samples.fake,),
    finish=lambda view: np.abs(view.once(samples.fake), dtype=np.float64).min()),
  Measure("lowest_loss", "lowest critic's loss", "loss", "Of steps.", "Steps", "lowest loss",
    of_steps=lambda steps: min(step["critic_loss"] for step in steps)),
]  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
  """-> a sweep's folder, and a member's, with measures that are added by their rows alone."""
  own = samples.rows()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(samples, "rows", lambda: [*own, *ADDED])
    path = tmp_path_factory.mktemp("rows") / "sweep"
    arguments = ("--methods=gp", "--seeds=1", "--batching=map", f"--workdir={path}")
    assert launch(sweep, *POINTS, *EVERY, *arguments) == 0
    yield path, next((path / "members").iterdir())


def test_an_added_measure_is_logged(swept):
  _, member = swept
  lines = read_lines(member / "metrics.jsonl")
  assert [line["step"] for line in lines] == [2, 4]
  for line in lines:
    assert line["farthest"] > line["nearest"] > 0
    assert line["lowest_loss"] <= line["critic_loss"]


def test_an_added_measure_is_drawn(swept, tmp_path):
  _, member = swept
  lines = read_lines(member / "metrics.jsonl")
  names = {row.name for row in ADDED}
  without = [{k: v for k, v in line.items() if k not in names} for line in lines]
  for name in ("with", "without"):
    draw_curves(tmp_path / f"{name}.png", lines if name == "with" else without, "title")
  drawn, other = ((tmp_path / f"{name}.png").read_bytes() for name in ("with", "without"))
  assert drawn != other


def test_an_added_measure_is_compared_in_a_sweep(swept):
  path, member = swept
  with (path / "results.csv").open() as file:
    row = next(row for row in csv.DictReader(file) if row["member"] == member.name)
  end = read_lines(member / "metrics.jsonl")[-1]
  html = (path / "report.html").read_text()
  for measure in ADDED:
    assert float(row[measure.name]) == end[measure.name]
    assert f"<dd>{measure.meaning}</dd>" in html
    assert f'alt="{measure.title}"'.replace("'", "&#39;") in html
  assert "<h3>Steps</h3>" in html


@pytest.mark.campaign
def test_an_added_measure_of_samples_is_evaluated_beside_its_floor(swept, tmp_path, capsys):
  _, member = swept
  assert launch(evaluate, f"--workdir={member}", "--n=8", f"--out={tmp_path}") == 0
  record = json.loads((tmp_path / "evaluation.json").read_text())
  assert record["samples"]["farthest"] > record["samples"]["nearest"]
  assert record["training_data"]["farthest"] > record["training_data"]["nearest"]
  shown = capsys.readouterr().out
  assert "farthest sample" in shown
  assert "nearest sample" in shown


def test_every_row_applies_to_some_run():
  classifier, networks = object(), mlp((2,), latent_dim=2, width=1)
  runs = [
    Run(Config(loss=loss, penalty=penalty), networks, load_dataset(dataset), classifier)
    for loss, penalty, dataset in [
      ("wasserstein", "gp", "ring"),
      ("wasserstein", "clip", "two_gaussians"),
      *((loss, "none", "swiss_roll") for loss in LOSSES),
    ]
  ]
  runs.append(runs[0]._replace(labels=np.zeros(1, int)))
  steps = [dict.fromkeys(Info._fields, 1.0)]
  found = {name for run in runs for name in summarise(steps, run.config)}
  found |= {row.name for run in runs for row in measured_rows(run)}
  assert found == {row.name for row in all_rows()}


def test_rows_are_whole():
  names = [row.name for row in all_rows()]
  assert len(set(names)) == len(names)
  for row in all_rows():
    assert row.of_steps or row.compute or row.finish, row.name
    assert row.slow or not row.finish, row.name
    assert row.meaning or not row.group, row.name
    own = {None, row.title.removeprefix("held-out ")}  # A panel of its own, or none.
    assert row.panel in own | {*PANELS} or row in ADDED, row.name
    assert row.group is None or row.name in groups()[row.group]
  assert BEST_BY in compared()
