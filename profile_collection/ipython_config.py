"""Configuration of the IPython that has this folder as its profile."""

c = get_config()  # type: ignore[name-defined]  # noqa: F821  IPython provides it

# A startup that fails says why in one red line; IPython's own remark about it would be a second.
c.TerminalIPythonApp.log_level = 40
