"""What a run will cost and whether it can work, from listings and a small sample of the text."""
