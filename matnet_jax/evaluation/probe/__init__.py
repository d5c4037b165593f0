"""The baseline of every table: a line through features that nobody trained for the task."""
