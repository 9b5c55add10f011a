"""A corpus for benchmarks that does not flatter: many kinds of text, in their natural lengths, none twice."""
