"""What all rooms share: errors, files, seeds, assets. Knows nothing of text, models or runs."""
