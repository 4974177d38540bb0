"""The canonical Request to an upstream's prompt."""
