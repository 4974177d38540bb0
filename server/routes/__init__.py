"""One file a surface."""
