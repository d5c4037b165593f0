"""What networks are made of: layers, norms, resizing, initial values, losses per example."""
