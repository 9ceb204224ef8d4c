"""Values and rules: what may happen, decided from values alone. No clock, disk, network, environment or log."""
