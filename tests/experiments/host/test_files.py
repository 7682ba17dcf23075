"""Files that a kill may have cut short."""

import errno
import pathlib

import pytest

from experiments.host.errors import UserError
from experiments.host.files import append_line, keep_lines, read_json, read_lines, write_json


def test_lines_come_back_and_a_torn_one_is_no_line(tmp_path):
  path = tmp_path / "rows.jsonl"
  rows = [{"step": 1, "loss": 0.1}, {"step": 2, "loss": -1e-30}]
  assert read_lines(path) == []
  for row in rows:
    append_line(path, row)
  assert read_lines(path) == rows
  whole = path.read_bytes()
  for torn in ('{"step": 3, "lo', '{"step": 3}'):
    path.write_bytes(whole + torn.encode())
    assert read_lines(path) == rows
  keep_lines(path, lambda row: True)
  assert path.read_bytes() == whole
  keep_lines(path, lambda row: row["step"] < 2)
  assert read_lines(path) == rows[:1]


def test_damage_is_one_line_that_names_the_file(tmp_path):
  path = tmp_path / "rows.jsonl"
  path.write_text('{"step": 1}\nrubbish\n{"step": 3}\n')
  with pytest.raises(UserError, match=r"rows\.jsonl: damaged"):
    read_lines(path)
  path.write_bytes(b'{"step": \xff}\n')
  with pytest.raises(UserError, match=r"rows\.jsonl: damaged"):
    read_lines(path)
  for content in ("{", "[1]", "\x00"):
    path.write_text(content)
    with pytest.raises(UserError, match=r"rows\.jsonl: damaged"):
      read_json(path)
  with pytest.raises(UserError, match="cannot be read"):
    read_json(tmp_path / "nowhere.json")


def test_a_file_that_cannot_be_replaced_stays_whole(tmp_path):
  path = tmp_path / "config.json"
  write_json(path, {"a": 1})
  with pytest.raises(TypeError):
    write_json(path, {"a": object()})
  assert read_json(path) == {"a": 1}
  assert [child.name for child in tmp_path.iterdir()] == ["config.json"]


def test_a_write_that_is_cut_short_leaves_the_file_that_was(tmp_path, monkeypatch):
  path = tmp_path / "config.json"
  write_json(path, {"a": 1})

  def half(self, content):
    with self.open("wb") as file:
      file.write(content[:5])
    raise OSError(errno.ENOSPC, "No space left on device")

  with monkeypatch.context() as patch:
    patch.setattr(pathlib.Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space"):
      write_json(path, {"a": 2})
  assert read_json(path) == {"a": 1}
  assert [child.name for child in tmp_path.iterdir()] == ["config.json"]
