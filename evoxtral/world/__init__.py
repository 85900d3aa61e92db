"""The embedded world: everything that makes it, and nothing else."""
