"""Models: rows of examples in, answer features and scores of a PET module out."""
