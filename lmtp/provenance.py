"""Where a message comes from, as far as that can be proven: the findings that the milter passed.

Exactly one X-IEMS-Findings with a right HMAC and the queue id of this very message counts. Postfix
tells the queue id by XFORWARD IDENT; for mail that did not come by SMTP it tells none, and then the
topmost Received, which our own Postfix wrote, does. Anything else is as good as no findings: every
delegated check is `temperror`, the source channel is unknown, and the message is not refused for
that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from iems.codec import findings as codec
from iems.codec.header import unfold
from iems.codec.received import arrival
from iems.model.finding import Finding
from iems.model.message import HeaderBlock
from iems.settings.policy import AT_DELIVERY


@dataclass(frozen=True, slots=True)
class Provenance:
    """`fault` says why the findings are not the milter's, and is empty where they are.

    `time` is when the message came, in seconds of the epoch; 0.0 where nobody says it. `login` is
    who has logged in to send it, empty where nobody has.
    """

    reference: str
    queue_id: str
    channel: str
    time: float
    findings: tuple[Finding, ...]
    fault: str = ""
    login: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Reads the provenance of messages; `missing` stands in where there are no findings."""

    hostname: str
    secret_of: Callable[[str], bytes | None]
    missing: tuple[Finding, ...]
    new_reference: Callable[[], str]

    def of(self, block: HeaderBlock, ident: str) -> Provenance:
        """The provenance of a message whose XFORWARD IDENT is `ident` (empty: not given)."""
        queue_id = ident or received_id(block, self.hostname)
        try:
            passed = self._passed(block, queue_id)
        except codec.FindingsError as error:
            time = received_time(block)
            reference = self.new_reference()
            return Provenance(reference, queue_id, "", time, self.missing, str(error))
        # What is found at delivery alone does not travel, whoever writes it.
        found = tuple(one for one in passed.findings if one.check not in AT_DELIVERY)
        return Provenance(
            passed.reference,
            queue_id,
            passed.channel,
            float(passed.time),
            found,
            login=passed.login,
        )

    def _passed(self, block: HeaderBlock, queue_id: str) -> codec.Passed:
        fields = block.named(codec.NAME)
        if len(fields) != 1:
            raise codec.FindingsError(f"{len(fields)} fields with findings")
        passed = codec.decode(fields[0].value, self.secret_of)
        if not queue_id or passed.queue_id != queue_id:
            raise codec.FindingsError("findings of another message")
        return passed


def received_id(block: HeaderBlock, hostname: str) -> str:
    """The queue id in the topmost Received if this host wrote it, else an empty text."""
    fields = block.named(b"Received")
    if not fields:
        return ""
    found = arrival(fields[0].value, hostname)
    return found.queue_id if found else ""


def received_time(block: HeaderBlock) -> float:
    """The time in the topmost Received."""
    fields = block.named(b"Received")
    text = unfold(fields[0].value).rpartition(b";")[2][:100] if fields else b""
    try:
        return parsedate_to_datetime(text.decode("ascii", "replace")).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
