"""What the services need from outside, as protocols. `adapters/` has what implements them."""
