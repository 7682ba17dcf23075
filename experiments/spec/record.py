"""The form of a config.json: which number it has, and which version wrote it."""

import pathlib
from importlib import metadata

from experiments.host.errors import UserError

FORMAT = 1
"""The number of the form that is written; a file without a number is of the first form, 1."""


def stamp() -> dict:
  """The fields that say how a config.json is to be read."""
  return {"format": FORMAT, "version": _version()}


def check_format(record: dict, path: pathlib.Path) -> None:
  """Refuses a config.json of a form that this version does not read.

  Raises:
    UserError: names the file, its form and the version that wrote it.
  """
  found = record.get("format", 1) if isinstance(record, dict) else None
  if type(found) is not int or found < 1:
    raise UserError(f"{path}: damaged: its format is no number from 1 on")
  if found != FORMAT:
    raise UserError(
      f"{path}: format {found}, written by wgan_jax {record.get('version', 'of unknown version')};"
      f" wgan_jax {_version()} reads format {FORMAT}: use the version that wrote it"
    )


def _version() -> str:
  try:
    return metadata.version("wgan_jax")
  except metadata.PackageNotFoundError:  # Run from a clone that is not installed.
    return "unknown"
