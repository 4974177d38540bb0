"""The tools that a client offers: their names, other names for them, and what their schemas ask of arguments."""
