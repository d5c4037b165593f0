"""A page and an HTTP interface in front of prediction: `matnet serve`."""
