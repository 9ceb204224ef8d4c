"""What can be wrong with something that arrived.

BadMessage            the bytes, the fields or the topic are not what the contract says
├── BadTopic          the topic or the machine id in it
└── BadSignature      well formed, but not signed with a key that we accept
"""


class BadMessage(ValueError):
    """A message that must be refused and counted; its text says why and holds no secret."""


class BadTopic(BadMessage):
    """A topic or a machine id outside the contract."""


class BadSignature(BadMessage):
    """The signature is missing or belongs to no key that we accept."""
