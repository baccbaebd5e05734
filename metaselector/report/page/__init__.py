"""One HTML page of evaluated runs, complete in itself."""
