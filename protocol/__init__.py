"""The language of the grid: words, values and wire formats shared by all; imports nothing of ours."""
