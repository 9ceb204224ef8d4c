"""The question before a command does what cannot be undone."""

import sys


def is_sure(question: str) -> bool:
    """Whether the person at the terminal says yes; where there is none, nobody does."""
    print(f"{question} [yes/no] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
