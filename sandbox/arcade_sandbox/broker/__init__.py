"""A real Mosquitto on loopback."""
