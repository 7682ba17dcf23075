"""Errors that end a launcher with one line and an exit status."""


class UserError(Exception):
  """An error that a user can cause: one line that names the flag or file and says what to do."""


class Stopped(Exception):  # noqa: N818 - an ending, not an error
  """Early end of a run, with its message and exit status; nothing was lost."""

  def __init__(self, message: str, status: int):
    super().__init__(message)
    self.status = status
