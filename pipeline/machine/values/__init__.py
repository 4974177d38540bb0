"""Values of arguments: JSON by its source text, an object that is read while it arrives, and the fit to a schema."""
