"""A development benchmark of one's own: people to choose by, and people to judge by, once."""
