"""How runs are trained: programs, the host loop, folders."""
