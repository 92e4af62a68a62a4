"""A run's report over HTTP, for the browser of whoever sits at this machine, and for nobody else."""
