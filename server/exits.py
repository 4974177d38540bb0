"""The exit statuses of every command, so that scripts can tell what happened."""

GOOD = 0
FAULT = 1
"""The work was done and found a difference or a fault."""
WRONG_USE = 2
"""Nothing was done: wrong arguments or wrong settings."""
INTERRUPTED = 130
"""Ctrl-C, as shells count it: 128 + SIGINT."""
STOPPED_BY = 128
"""With the signal's number added, where a command ends by itself at a signal."""
PIPE_CLOSED = 141
"""Nobody reads the output any more, as shells count it: 128 + SIGPIPE."""
