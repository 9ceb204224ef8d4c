"""The settings: which there are, where their values come from, and what makes them valid."""
