"""What shows a run while it goes on: the terminal, JSON lines, Prefect's artifacts, Dask's metrics."""
