"""Events to a client dialect, streamed and whole."""
