"""Measures Sluice and what else could do its work, side by side on one machine."""
