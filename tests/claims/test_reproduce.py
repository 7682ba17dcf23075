"""`experiments.reproduce`, end to end, on claims made for it."""

import json
import math

import numpy as np
import pytest
from helpers.launching import launch
from matplotlib.figure import Figure

from experiments import reproduce
from experiments.claims.claim import OUTCOMES, Claim, Evidence, Verdict, verdict
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

  def make(name, quick, full, value):
    def measure(lab, **scale):
      runs.append((name, scale))
      if value is None:
        raise UserError("stopped here")
      return Evidence({"value": value}, [{"what": "a | b", "value": value}], [picture()])

    def criterion(numbers):
      return verdict(numbers["value"] < 1, f"saw <{numbers['value']}> | so")

    return Claim(
      measure, criterion, name, 1, f"Sentence of {name}", "Paper | figure", "settings",
      "criterion", quick, full, {}, {"quick": 1, "full": 2},
    )  # fmt: skip

  there = {
    "drawn": make("drawn", {"seeds": 2, "steps": (3,)}, {"seeds": 5}, 0.5),
    "exact": make("exact", {}, {}, 2.0),
  }
  monkeypatch.setattr(reproduce, "find_names", lambda: dict.fromkeys(there))
  monkeypatch.setattr(reproduce, "load_claims", lambda: there)

  def change(name, value):
    there[name] = make(name, there[name].quick, there[name].full, value)

  return runs, change


def run(path, *arguments):
  return launch(reproduce, f"--workdir={path}", "--compilation_cache=none", *arguments)


def results(path):
  return json.loads((path / "results.json").read_text())["claims"]


def test_it_lists_and_writes_nothing(claims, tmp_path, capsys):
  assert run(tmp_path / "run") == 0
  out = capsys.readouterr().out
  assert "drawn  (Paper | figure; 1 min)" in out
  assert "2 claims, about 2 minutes" in out
  assert not (tmp_path / "run").exists()


def test_all_is_written_and_can_be_read(claims, tmp_path):
  path = tmp_path / "run"
  assert run(path, "--all") == 0
  recorded = results(path)
  assert list(recorded) == ["drawn", "exact"]
  assert [each["verdict"] for each in recorded.values()] == ["reproduced", "not reproduced"]
  assert recorded["drawn"]["asked"] == {"scale": "quick", "seeds": 2, "steps": [3]}
  assert recorded["drawn"]["numbers"] == {"value": 0.5}
  assert recorded["drawn"]["criterion"] == "criterion"
  for each in recorded.values():
    (picture,) = each["pictures"]
    assert (path / picture["file"]).read_bytes().startswith(b"\x89PNG")
  html = (path / "report.html").read_text()
  assert html.count("data:image/png;base64,") == 2
  assert "saw &lt;0.5&gt;" in html
  assert "--claim=drawn --scale=quick --seeds=2<" in html
  assert "://" not in html
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
  assert [scale for _, scale in runs[2:]] == [
    {},
    {"seeds": 7, "steps": (3,)},
    {"seeds": 5, "steps": (3,)},
  ]
  assert results(path)["exact"]["verdict"] == "reproduced"
  assert results(path)["drawn"]["asked"] == {"scale": "full", "seeds": 5, "steps": [3]}


def test_again_begins_anew_and_other_seeds_are_other_runs(claims, tmp_path):
  old, other = (tmp_path / "run" / "runs" / f"drawn-quick-{seeds}" for seeds in (2, 7))
  assert run(tmp_path / "run", "--claim=drawn") == 0
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


def test_results_are_in_reading_order_whichever_claim_ran_first(claims, tmp_path):
  assert run(tmp_path / "run", "--claim=exact") == 0
  assert run(tmp_path / "run", "--claim=drawn") == 0
  assert list(results(tmp_path / "run")) == ["drawn", "exact"]


def test_errors_are_one_line(claims, tmp_path, capsys):
  runs, path = claims[0], tmp_path / "run"
  (tmp_path / "file").touch()
  for arguments, expected in [
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
    assert expected in err
    assert err.count("\n") == 1
  assert run(path, "--claim=exact") == 0
  whole = json.loads((path / "results.json").read_text())["claims"]["exact"]
  part = {name: value for name, value in whole.items() if name != "seen"}
  others = [{"other": whole}, [], {"exact": 1}, {"exact": part}]
  wrong = {"seconds": [math.inf, math.nan, -1, "1"], "verdict": ["maybe", None], "table": [[1], {}]}
  wrong |= {"pictures": [[{}], "a"], "asked": [{}, None], "environment": [{}], "seen": [1]}
  others += [{"exact": whole | {name: each}} for name, values in wrong.items() for each in values]
  for damage in ["{", *(json.dumps({"claims": each}) for each in others)]:
    (path / "results.json").write_text(damage)
    runs.clear()
    assert run(path, "--claim=exact", "--again") == 2
    assert not runs  # Before minutes of measuring.
    err = capsys.readouterr().err
    assert "results.json" in err
    assert err.count("\n") == 1


def test_a_figure_that_is_gone_is_made_again(claims, tmp_path, capsys):
  path = tmp_path / "run"
  assert run(path, "--all") == 0
  (path / "figures" / "drawn-1.png").unlink()
  claims[0].clear()
  assert run(path, "--claim=exact", "--again") == 2
  assert not claims[0]
  assert "run --claim=drawn --again" in capsys.readouterr().err
  assert run(path, "--claim=drawn", "--again") == 0
  assert (path / "figures" / "drawn-1.png").exists()


def test_no_report_embeds_what_is_outside(claims, tmp_path, capsys):
  path, secret = tmp_path / "run", tmp_path / "secret"
  secret.write_text("mine")
  assert run(path, "--all") == 0
  whole = (path / "results.json").read_text()
  for file in ("../secret", str(secret)):
    (path / "results.json").write_text(whole.replace("figures/drawn-1.png", file))
    assert run(path, "--claim=exact", "--again") == 2
    assert "not in" in capsys.readouterr().err
  (path / "results.json").write_text(whole)
  (path / "figures" / "drawn-1.png").unlink()
  (path / "figures" / "drawn-1.png").symlink_to(secret)
  assert run(path, "--claim=exact", "--again") == 2


@pytest.mark.parametrize("name", ["report.html", "verdicts.md", "notes", "figures/drawn-1.png"])
def test_a_folder_of_others_is_refused(claims, tmp_path, capsys, name):
  file = tmp_path / "run" / name
  file.parent.mkdir(parents=True)
  file.write_text("mine")
  assert run(tmp_path / "run", "--all") == 2
  assert "holds other files" in capsys.readouterr().err
  assert file.read_text() == "mine"
  assert not claims[0]


def test_a_verdict_is_one_of_three():
  outcomes = (
    verdict(True, "seen"),
    verdict(False, "seen"),
    verdict(True, "seen", conclusive=False),
  )
  assert outcomes == tuple(Verdict(each, "seen") for each in OUTCOMES)
  assert verdict(np.bool_(True), "").outcome == OUTCOMES[0]
