"""The bottom layer's other job programs: a model over a batch file, and a model's scores."""
