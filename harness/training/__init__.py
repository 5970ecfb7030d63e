"""batches → loss → checkpoint: one training loop for every run."""
