"""Errors that a user can cause, and how a launcher ends with them."""


class UserError(Exception):
  """One line that names the flag or the file, and says what to do."""


class Stopped(Exception):  # noqa: N818 - an ending, not an error
  """A run that ended early, with its message and exit status; nothing was lost."""

  def __init__(self, message: str, status: int):
    super().__init__(message)
    self.status = status
