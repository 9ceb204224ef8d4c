"""The agent's loop: commits, then pulses, then talks. It knows hardware and broker as ports only."""
