"""From a command line to a launcher's `main`, and from its errors to one line and a status."""

import sys
from collections.abc import Callable, Sequence

from absl import flags

from experiments.harness.errors import Stopped, UserError
from wgan_jax.data.images import DataError


class _Finite(flags.FloatParser):
  """absl's own takes NaN for a number within any bounds."""

  def convert(self, argument):
    value = super().convert(argument)
    if value != value or value in (float("inf"), float("-inf")):
      raise ValueError("not a finite number")
    return value


def define_float(name, default, help_text, *, low, high, flag_values):
  """A flag for a finite number in [low, high]."""
  flags.DEFINE(
    _Finite(low, high), name, default, help_text, flag_values, flags.ArgumentSerializer()
  )


def run(
  main: Callable[[flags.FlagValues], None],
  register: Callable[[flags.FlagValues], None],
  doc: str,
  argv: Sequence[str] | None = None,
) -> int:
  """Runs a launcher.

  The flags live in a FlagValues of their own, not in absl's global one, so that one process can run
  several launchers, or one launcher twice.

  Args:
    main: does the work; may raise UserError, DataError or Stopped.
    register: defines the launcher's flags.
    doc: what `--help` prints before the flags.
    argv: the command line with the program's name first; None for this process's.

  Returns:
    The exit status: 0, 2 for a user's error, or that of `Stopped`.
  """
  flag_values = flags.FlagValues()
  register(flag_values)
  flags.DEFINE_boolean("help", False, "Show this help and exit.", flag_values=flag_values)
  try:
    _, *stray = flag_values(list(sys.argv if argv is None else argv))
    if flag_values.help:
      print(f"{doc.strip()}\n\nFlags:\n{_help(flag_values)}")
      return 0
    if stray:
      raise UserError(f"stray argument {stray[0]!r}: every option is written --name=value")
    main(flag_values)
  except (flags.Error, UserError, DataError) as error:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
  except Stopped as ending:
    print(ending, file=sys.stderr)
    return ending.status
  return 0


def _help(flag_values: flags.FlagValues) -> str:
  lines = []
  for name in flag_values:
    flag = flag_values[name]
    default = "" if flag.default is None else f" (default: {flag.default})"
    choices = getattr(flag.parser, "enum_values", None)
    values = "{" + ",".join(choices) + "}" if choices else flag.flag_type()
    lines.append(f"  --{name}={values}\n      {flag.help}{default}")
  return "\n".join(lines)
