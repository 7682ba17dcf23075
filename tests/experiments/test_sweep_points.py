"""`experiments.sweep` on points, with whole methods and the slow measures."""

import csv
import json

import pytest
from helpers.launching import launch

from experiments import sweep, toy

SMALL = ["--width=8", "--depth=2", "--batch_size=16", "--log_every=2", "--slow_every=4"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  path = tmp_path_factory.mktemp("sweep") / "sweep"
  arguments = ["--dataset=ring", "--methods=minimax,gp", "--steps=4", "--batching=map"]
  assert launch(sweep, *SMALL, *arguments, f"--workdir={path}") == 0
  return path


@pytest.mark.campaign
def test_results_hold_every_measure(finished):
  with (finished / "results.csv").open() as file:
    rows = list(csv.DictReader(file))
  assert [(row["loss"], row["penalty"]) for row in rows] == [
    ("minimax", "none"),
    ("wasserstein", "gp"),
  ]
  for row in rows:
    assert float(row["certified_wasserstein"]) <= float(row["exact_wasserstein"])
    assert float(row["gradient_norm_found"]) <= float(row["lipschitz_bound"])
    assert 0 <= float(row["n_modes"]) <= 8
    assert float(row["generator_gradient_minimax"]) > 0
    assert "frechet" not in row
  assert rows[0]["estimate_gap"] == ""
  assert float(rows[1]["estimate_gap"]) == pytest.approx(
    float(rows[1]["held_out_wasserstein_estimate"]) - float(rows[1]["exact_wasserstein"])
  )
  html = (finished / "report.html").read_text()
  assert 'alt="modes found' in html
  assert "exact distance, samples to held out" in html
  assert 'alt="exact distance' not in html  # Measured once: no curve.


@pytest.mark.campaign
def test_a_mapped_member_has_the_measures_of_the_run_alone(finished, tmp_path):
  alone = tmp_path / "alone"
  assert launch(toy, *SMALL, "--steps=4", f"--workdir={alone}") == 0
  (member,) = (finished / "members").glob("ring-wasserstein-*")
  assert (alone / "metrics.jsonl").read_bytes() == (member / "metrics.jsonl").read_bytes()
  assert (alone / "samples/step_000004.png").read_bytes() == (
    member / "samples/step_000004.png"
  ).read_bytes()
  assert json.loads((member / "config.json").read_text())["settings"]["depth"] == 2


def test_what_does_nothing_is_refused(tmp_path, capsys):
  for arguments, message in [
    (["--dataset=ring", "--methods=gp", "--penalty=clip"], "--penalty does nothing with --methods"),
    (["--dataset=ring", "--methods=gp,wgan"], "'wgan' in the list"),
    (["--dataset=ring", "--architecture=mlp,dcgan"], "--architecture=dcgan draws images"),
    (["--dataset=ring", f"--data_dir={tmp_path}"], "--data_dir does nothing with ring"),
    (["--dataset=digits", "--n_funnels=4"], "--n_funnels does nothing with --dataset=digits"),
  ]:
    assert launch(sweep, *arguments, f"--workdir={tmp_path}/sweep") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
  assert not (tmp_path / "sweep").exists()
