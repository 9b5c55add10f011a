"""What a run is asked to do: pydantic models, without NumPy and Arrow."""
