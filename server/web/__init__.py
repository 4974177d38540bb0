"""What is shown in a browser: the facts of the page at `/`, and its template, style and script."""
