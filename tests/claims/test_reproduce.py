"""`experiments.reproduce` end to end on claims made for it, and what holds of every real claim."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.launching import launch
from matplotlib.figure import Figure

from experiments import reproduce
from experiments.claims import NAMES, load_claim
from experiments.claims.claim import VERDICTS, Claim, Evidence, Judgement, verdict
from experiments.claims.lab import Lab
from experiments.figures.pictures import Picture, render
from experiments.host.errors import UserError


@pytest.fixture
def claims(monkeypatch):
  """-> the runs of two claims, one of which draws; what they are run with can be changed."""
  runs = []

  def picture():
    figure = Figure(figsize=(1, 1))
    figure.add_subplot().plot([1, 2])
    return Picture("A line | of nothing, 0 seeds.", render(figure))

  def make(name, scales, value):
    def measure(lab, **scale):
      runs.append((name, scale))
      if value is None:
        raise UserError("stopped here")
      return Evidence({"value": value}, [{"what": "a | b", "value": value}], [picture()])

    def judge(numbers):
      return Judgement(verdict(numbers["value"] < 1), f"saw <{numbers['value']}> | so")

    return Claim(
      name, f"Sentence of {name}", "Paper | figure", "settings", "criterion", scales,
      {"quick": 1, "full": 2}, measure, judge,
    )  # fmt: skip

  there = {
    "drawn": make("drawn", {"quick": {"seeds": 2, "steps": (3,)}, "full": {"seeds": 5}}, 0.5),
    "exact": make("exact", {"quick": {}, "full": {}}, 2.0),
  }
  monkeypatch.setattr(reproduce, "NAMES", tuple(there))
  monkeypatch.setattr(reproduce, "load_claim", there.__getitem__)

  def change(name, value):
    there[name] = make(name, there[name].scales, value)

  return runs, change


def run(path, *arguments):
  return launch(reproduce, f"--workdir={path}", "--compilation_cache=none", *arguments)


def results(path):
  return json.loads((path / "results.json").read_text())["claims"]


def test_it_lists_and_writes_nothing(claims, tmp_path, capsys):
  assert run(tmp_path / "run") == 0
  out = capsys.readouterr().out
  assert "drawn  (Paper | figure; 1 min)" in out
  assert "2 claims, some 2 minutes" in out
  assert not (tmp_path / "run").exists()


def test_all_is_written_and_can_be_read(claims, tmp_path):
  path = tmp_path / "run"
  assert run(path, "--all") == 0
  told = results(path)
  assert list(told) == ["drawn", "exact"]
  assert [each["verdict"] for each in told.values()] == ["reproduced", "not reproduced"]
  assert told["drawn"]["asked"] == {"scale": "quick", "seeds": 2, "steps": [3]}
  assert told["drawn"]["numbers"] == {"value": 0.5}
  for each in told.values():
    (picture,) = each["pictures"]
    assert (path / picture["file"]).read_bytes().startswith(b"\x89PNG")
  html = (path / "report.html").read_text()
  assert html.count("data:image/png;base64,") == 2
  assert "saw &lt;0.5&gt;" in html
  assert "--claim=drawn --scale=quick --seeds=2<" in html
  assert "http" not in html.replace("http-equiv", "")
  table = (path / "verdicts.md").read_text()
  rows = [line for line in table.splitlines() if line.startswith("| **")]
  assert len(rows) == 2
  assert {row.replace("\\|", "").count("|") for row in rows} == {7}
  assert "1 reproduced, 1 not reproduced, of 2 claims" in table


def test_what_is_there_is_not_run_again(claims, tmp_path, capsys):
  runs, change = claims
  path = tmp_path / "run"
  assert run(path, "--all") == 0
  change("exact", 0.1)
  assert run(path, "--all") == 0
  assert len(runs) == 2
  assert "there already" in capsys.readouterr().out
  assert run(path, "--claim=exact", "--again") == 0
  assert run(path, "--claim=drawn", "--seeds=7") == 0
  assert run(path, "--claim=drawn", "--scale=full") == 0
  assert [scale for _, scale in runs[2:]] == [{}, {"seeds": 7, "steps": (3,)}, {"seeds": 5}]
  assert results(path)["exact"]["verdict"] == "reproduced"
  assert results(path)["drawn"]["asked"] == {"scale": "full", "seeds": 5}


def test_again_begins_anew_and_other_seeds_are_other_runs(claims, tmp_path):
  old, other = (tmp_path / "run" / "runs" / f"drawn-quick-{seeds}" for seeds in (2, 7))
  for folder in (old, other):
    folder.mkdir(parents=True)
  assert run(tmp_path / "run", "--claim=drawn") == 0
  assert old.exists()
  assert run(tmp_path / "run", "--claim=drawn", "--again") == 0
  assert other.exists()
  assert not old.exists()


def test_a_claim_that_fails_loses_nothing(claims, tmp_path, capsys):
  runs, change = claims
  change("exact", None)
  path = tmp_path / "run"
  assert run(path, "--all") == 2
  assert list(results(path)) == ["drawn"]
  change("exact", 0.1)
  assert run(path, "--all") == 0
  assert [name for name, _ in runs] == ["drawn", "exact", "exact"]
  assert list(results(path)) == ["drawn", "exact"]


def test_claims_are_told_in_one_order_whichever_ran_first(claims, tmp_path):
  assert run(tmp_path / "run", "--claim=exact") == 0
  assert run(tmp_path / "run", "--claim=drawn") == 0
  assert list(results(tmp_path / "run")) == ["drawn", "exact"]


def test_errors_are_one_line(claims, tmp_path, capsys):
  path = tmp_path / "run"
  (tmp_path / "file").touch()
  for arguments, told in [
    (["--claim=nothing"], "nothing"),
    (["--claim=exact", "--all"], "--claim does nothing with --all"),
    (["--claim=exact", "--seeds=3"], "--seeds does nothing with --claim=exact"),
    (["--claim=exact", "--workdir="], "--workdir= is empty"),
    (["--claim=exact", f"--workdir={tmp_path}/file"], "is a file"),
    (["--claim=exact", "--data_dir=there"], "--data_dir does nothing with --scale=quick"),
    (["--again"], "--again does nothing without"),
    (["--seeds=2"], "--seeds does nothing without"),
  ]:
    assert run(path, *arguments) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1
  assert run(path, "--claim=exact") == 0
  whole = json.loads((path / "results.json").read_text())["claims"]["exact"]
  part = {name: value for name, value in whole.items() if name != "seen"}
  others = [{"other": whole}, [], {"exact": 1}, {"exact": part}]
  for damage in ["{", *(json.dumps({"claims": each}) for each in others)]:
    (path / "results.json").write_text(damage)
    assert run(path, "--claim=exact") == 2
    err = capsys.readouterr().err
    assert "results.json" in err
    assert err.count("\n") == 1


def test_a_figure_that_is_gone_is_made_again(claims, tmp_path, capsys):
  path = tmp_path / "run"
  assert run(path, "--all") == 0
  (path / "figures" / "drawn-1.png").unlink()
  assert run(path, "--claim=exact", "--again") == 2
  assert "run --claim=drawn --again" in capsys.readouterr().err
  assert run(path, "--claim=drawn", "--again") == 0
  assert (path / "figures" / "drawn-1.png").exists()


@pytest.mark.slow
def test_a_sweep_of_a_claim_goes_on(tmp_path, capsys):
  choices = {"loss": ("wasserstein",), "penalty": ("gp",), "width": (4,), "depth": (1,)}
  choices |= {"batch_size": (8,), "n_critic": (1,)}
  lab = Lab(tmp_path, None, {"device": "cpu"})
  members = lab.sweep("one", "ring", choices, seeds=2, steps=4, log_every=2, exact_every=4)
  assert [member.status for member in members] == ["finished"] * 2
  assert all("exact_wasserstein" in member.end for member in members)
  written = (tmp_path / "one" / "timing.jsonl").read_bytes()
  again = lab.sweep("one", "ring", choices, seeds=2, steps=4, log_every=2, exact_every=4)
  assert again == members
  assert (tmp_path / "one" / "timing.jsonl").read_bytes() == written


@pytest.mark.parametrize("name", NAMES)
def test_every_claim_is_whole(name):
  claim = load_claim(name)
  assert claim.name == name
  assert set(claim.scales) == set(claim.minutes) == {"quick", "full"}
  assert claim.scales["quick"].keys() == claim.scales["full"].keys()
  for words in (claim.sentence, claim.source, claim.settings, claim.criterion):
    assert words[0].isupper() or words[0].isdigit()
    assert words.endswith(".") or words is claim.source
    assert "  " not in words


_LOAD = """
from experiments.claims import NAMES, load_claim
claims = [load_claim(name) for name in NAMES]
import jax
jax.config.update("jax_num_cpu_devices", 3)
assert len(jax.devices()) == 3
"""


def test_no_claim_uses_jax_before_the_launcher_has_chosen_its_devices():
  environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
  subprocess.run([sys.executable, "-c", _LOAD], env=environment, check=True)


def test_quick_is_an_hour():
  assert sum(load_claim(name).minutes["quick"] for name in NAMES) <= 60


def test_a_verdict_is_one_of_three():
  assert [verdict(True), verdict(False), verdict(True, tells=False)] == list(VERDICTS)
  assert verdict(np.bool_(True)) == VERDICTS[0]
