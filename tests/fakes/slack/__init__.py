"""A Slack of our own on loopback: it refuses what Slack refuses, and remembers what it saw.

It speaks the Web API, Socket Mode, signed requests, uploads, response URLs and OAuth, and knows
nothing of the app that talks to it. Tests act through people (`alice.command(...)`) and judge by
what people see.
"""

from tests.fakes.slack.application import Application
from tests.fakes.slack.faults import Faults
from tests.fakes.slack.people import Person, Reply
from tests.fakes.slack.records import Refused
from tests.fakes.slack.server import LoopbackSlack
from tests.fakes.slack.workspaces import Workspace

__all__ = ["Application", "Faults", "LoopbackSlack", "Person", "Refused", "Reply", "Workspace"]
