"""One call: send a request, read what comes back, say what came of it."""
