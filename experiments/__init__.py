"""The launchers, run from a clone: `python -m experiments.<name>`."""

import signal
import sys

from experiments.host.signals import exit_at_once

if sys.argv[0] == "-m":  # Python imports the launcher that it was asked for.
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, exit_at_once)
  try:
    import jax  # noqa: F401 - it reads its variables here
  except ValueError as error:
    print(f"error: {error}: mend or unset that variable of the environment", file=sys.stderr)
    sys.exit(2)
