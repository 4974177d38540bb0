"""The forms in which a call is written: heads, bodies, other dialects, and calls that need no reading."""
