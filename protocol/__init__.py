"""The language of the grid: words, values and wire formats; imports nothing of ours."""
