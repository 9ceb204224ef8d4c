"""The cloud: takes payments, commands the cabinets, keeps or gives back the money."""
