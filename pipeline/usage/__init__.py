"""What an answer cost, in tokens and money."""
