"""Learners: how a stage is trained. One paper, one file."""
