"""The training path: randomness, batches, optimizer, checkpoints, and the loop."""
