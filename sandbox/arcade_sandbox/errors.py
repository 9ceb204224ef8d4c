"""The errors of the sandbox.

SandboxError
├── SystemFailed              a part did not start, or what was waited for did not happen
├── PortTaken                 the stand-in for Stripe cannot listen where it should
├── SandboxMisuse             the stand-in for Stripe was told to do something that makes no sense
├── StripeRefusal             a request that Stripe answers with an error body (in `stripe.errors`)
├── BrokerError
│   ├── BrokerNotInstalled    no Mosquitto, or one without its plugin; says how to get it
│   └── BrokerNotStarted      it was started and does not answer; shows the end of its log
├── DynamoDBError
│   ├── DynamoDBNotInstalled  no jar, or no Java that runs it; says how to get it
│   └── DynamoDBNotStarted    it was started and does not answer; shows the end of its log
└── EmulatorError
    ├── EmulatorNotInstalled  no emulator of AWS Lambda; says how to get it
    └── EmulatorFailed        it did not start, or gave no answer; shows the end of its log
"""


class SandboxError(Exception):
    """Base of all errors of the sandbox."""


class SystemFailed(SandboxError):
    """A part did not start, or what was waited for did not happen. The text shows the end of its log."""


class PortTaken(SandboxError):
    """The port is in use. The text names it."""


class SandboxMisuse(SandboxError, ValueError):
    """A control call (`/_sandbox/…`, `StripeWorld`) cannot be carried out. Nothing has changed."""


class BrokerError(SandboxError):
    """The broker is not available."""


class BrokerNotInstalled(BrokerError):
    """No usable Mosquitto on this machine."""


class BrokerNotStarted(BrokerError):
    """Mosquitto ended, or did not answer, when it was started."""


class DynamoDBError(SandboxError):
    """DynamoDB Local is not available."""


class DynamoDBNotInstalled(DynamoDBError):
    """DynamoDB Local is not on this machine, or cannot run here."""


class DynamoDBNotStarted(DynamoDBError):
    """DynamoDB Local ended, or did not answer, when it was started."""


class EmulatorError(SandboxError):
    """The emulator is not available."""


class EmulatorNotInstalled(EmulatorError):
    """The emulator, or AWS's runtime client, is not on this machine."""


class EmulatorFailed(EmulatorError):
    """The emulator did not start, ended, or did not answer."""
