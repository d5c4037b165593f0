"""Several evaluated networks as one: their scores of each video make the ensemble's."""
