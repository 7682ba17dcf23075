"""Quick compilation for tests whose subject is not rounding."""

import functools

import jax

# Most of a test's time is LLVM's. The lowest level computes the same function.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
