"""The stages as Prefect tasks, the Dask executor, and the clusters."""
