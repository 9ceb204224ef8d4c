"""Values and rules. Decisions depend on values alone: no clock, disk, network, environment or log."""
