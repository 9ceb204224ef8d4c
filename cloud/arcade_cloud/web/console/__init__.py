"""The operator's console. Nothing of it is imported before somebody opens it: see `web/console_door.py`."""
