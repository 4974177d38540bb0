"""Client bodies to the canonical Request."""
