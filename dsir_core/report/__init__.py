"""The pages, made from the figures of report.json and compare.json alone."""
