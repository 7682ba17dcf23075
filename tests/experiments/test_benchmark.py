"""The launcher of the benchmark, on rows that measure nothing."""

import inspect
import json
import sys

import jax
import pytest
from helpers.launching import launch

from experiments import benchmark
from experiments.speed.rows import ROWS, Row
from experiments.speed.turns import Measurement, MedianRange


def test_a_row_is_printed_and_written(tmp_path, monkeypatch, capsys):
  measurement = Measurement(MedianRange(1.0, 2.0, 4.0), "x faster", {"jax_ms": 5.0})
  row = Row("toy", "toys against toys", lambda rounds: measurement)
  monkeypatch.setattr(benchmark, "ROWS", {"toy": row})
  assert launch(benchmark, "--rows=toy", f"--workdir={tmp_path}") == 0
  printed = capsys.readouterr().out
  assert " ".join(printed.split()).count("toy toys against toys 2 x faster (1 to 4) jax_ms 5") == 1
  (written,) = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
  assert written.pop("load") >= 0
  assert written.pop("environment")["jax"] == jax.__version__
  assert written == {
    "row": "toy",
    "what": "toys against toys",
    "unit": "x faster",
    "value": [1.0, 2.0, 4.0],
    "details": {"jax_ms": 5.0},
  }


def test_rows_of_an_earlier_start_stay(tmp_path, monkeypatch, capsys):
  values = {"toy": 1.0, "main": 2.0}

  def measured(name):
    return Row(name, name, lambda rounds: Measurement(MedianRange.of([values[name]]), "s", {}))

  monkeypatch.setattr(benchmark, "ROWS", {name: measured(name) for name in values})
  file = tmp_path / "benchmark.json"
  for rows, toy in (("toy,main", 1.0), ("toy", 3.0)):
    values["toy"] = toy
    assert launch(benchmark, f"--rows={rows}", f"--workdir={tmp_path}") == 0
    written = {row["row"]: row["value"][0] for row in json.loads(file.read_text())["rows"]}
    assert written == {"toy": toy, "main": 2.0}
  earlier = {"environment": {"jax": "0.9"}, "rows": [{"row": "main", "value": [5.0]}]}
  file.write_text(json.dumps(earlier))
  assert launch(benchmark, "--rows=toy", f"--workdir={tmp_path}") == 0
  main, _ = json.loads(file.read_text())["rows"]
  assert main == {"row": "main", "value": [5.0], "environment": {"jax": "0.9"}}
  file.write_text('{"rows": "mine"}')
  assert launch(benchmark, "--rows=toy", f"--workdir={tmp_path}") == 2
  assert "benchmark.json: damaged" in capsys.readouterr().err
  assert file.read_text() == '{"rows": "mine"}'


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_each_row_needs_the_rounds_alone(row):
  inspect.signature(row.measure).bind(3)


def test_without_pytorch_the_rows_say_so(tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, "torch", None)
  assert launch(benchmark, "--rows=toy_64", "--rounds=1", f"--workdir={tmp_path}") == 0
  assert "no PyTorch for this device: pip install -e '.[benchmark]'" in capsys.readouterr().out


def test_only_default_rows_are_measured_when_none_are_named(tmp_path, monkeypatch):
  measured = []

  def counted(row):
    def measure(rounds):
      measured.append((row.name, rounds))
      return Measurement(MedianRange.of([1.0]), "s", {})

    return row._replace(measure=measure)

  monkeypatch.setattr(benchmark, "ROWS", {name: counted(row) for name, row in ROWS.items()})
  assert launch(benchmark, "--rounds=2", f"--workdir={tmp_path}") == 0
  assert measured == [(name, 2) for name, row in ROWS.items() if row.default]
  assert len(measured) < len(ROWS)


def test_a_row_that_fails_on_the_device_leaves_the_others(tmp_path, monkeypatch, capsys):
  def fails(rounds):
    raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nallocator")

  good = Row("good", "good", lambda rounds: Measurement(MedianRange.of([1.0]), "s", {}))
  monkeypatch.setattr(benchmark, "ROWS", {"bad": Row("bad", "bad", fails), "good": good})
  assert launch(benchmark, "--rows=bad,good", f"--workdir={tmp_path}") == 2
  printed = capsys.readouterr()
  assert "failed: RESOURCE_EXHAUSTED: out of memory\n" in printed.out
  assert printed.err.count("\n") == 1
  assert "--rows=bad: failed" in printed.err
  assert [row["row"] for row in json.loads((tmp_path / "benchmark.json").read_text())["rows"]] == [
    "good"
  ]


@pytest.mark.parametrize(
  ("flag", "message"),
  [
    ("--rows=parts", "'parts' in the list"),
    ("--rows=toy --preset=tiny", "--rows and --preset both choose the rows"),
    ("--workdir=", "--workdir= is empty"),
    ("--workdir=/dev/null/folder", "--workdir=/dev/null/folder cannot be written"),
  ],
)
def test_flags_that_cannot_be_obeyed_are_refused(flag, message, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(benchmark, "ROWS", {"toy": Row("toy", "toys", lambda rounds: None, False)})
  assert launch(benchmark, *flag.split()) == 2
  assert message in capsys.readouterr().err
