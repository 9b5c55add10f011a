"""How work is run: the executor contract, events, cancellation."""
