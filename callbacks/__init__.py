"""Documents in, analysis out: the live, replayed and recovered paths are one."""
