"""The agent in the cabinet: takes signed credits, pulses the coin line, reports what happened."""
