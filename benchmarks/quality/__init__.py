"""How well each setting selects, on labelled text: `make quality`."""
