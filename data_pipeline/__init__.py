"""From video files to batches of face crops; knows nothing of JAX."""
