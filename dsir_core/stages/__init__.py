"""The stages of a run, in the order of the data: plan, count, fit, score, resample, write, report.

Each is a plain function over a `Run`: it maps work over shards through the run's executor and reduces the results as
they come. The same functions serve `--inline`, notebooks and the Prefect flow.
"""
