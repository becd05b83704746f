"""How `iems` asks the running agent for a release: a token, over its LMTP socket.

The agent takes the message from its own store; no byte of it goes over the socket. Where no answer
comes this is an `AgentError`, and nobody knows but the store: the message stays there until the
agent has the next hop's word.
"""

from __future__ import annotations

import contextlib

from iems.codec.release import Release, encode
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError
from iems.settings.schema import Settings
from iems.store.keys import Keyring, KeyringError
from lmtp.dialogue import COMMAND, BrokenError, Dialogue
from lmtp.reply import Reply

_PATIENCE = 600.0
"""Seconds for one release; the agent itself gives up after 540."""


class AgentError(Exception):
    """The agent did not answer; the message says what is known."""


def ask(wanted: Release, settings: Settings) -> Reply:
    """The agent's reply; ReleaseError where the token would be too long."""
    try:
        key = Keyring.load(settings.keys.findings).active
    except KeyringError as error:
        raise SettingsError([str(error)]) from None
    token = encode(wanted, key.id, key.secret)
    deadline = Deadline.after(_PATIENCE)
    sent = False
    try:
        with contextlib.closing(Dialogue.open(f"unix:{settings.agent.socket}", deadline)) as agent:
            agent.reply(COMMAND, deadline)
            [hello] = agent.ask([f"LHLO {settings.hostname}"], deadline, together=False)
            if b"XRELEASE" not in hello.lines:
                raise AgentError("the agent that runs cannot release; restart it")
            sent = True
            agent.say(f"XRELEASE {token}\r\n".encode(), deadline)
            return agent.reply(_PATIENCE, deadline)
    except BrokenError as error:
        if sent:
            raise AgentError(
                "the agent's answer was lost; it stays in quarantine unless it was delivered"
            ) from None
        raise AgentError(f"the agent cannot be asked: {error}") from None
