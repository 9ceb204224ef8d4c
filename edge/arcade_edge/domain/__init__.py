"""Values and rules of the cabinet. No clock, disk, network, GPIO or log."""
