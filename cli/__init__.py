"""`iems`: one module a command, imported when it is called; arguments and printing, no logic."""
