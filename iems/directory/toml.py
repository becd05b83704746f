"""A directory that is one TOML file: for milters beside an existing server, and for tests.

It is read once, when it is loaded, and never written; a change takes effect with the next reload.
Every fault of the file is reported with file, key, what stood there and what is expected.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from iems.directory.account import BAYES, KINDS, POP3, refusal
from iems.directory.person import ATTRIBUTES as PERSON
from iems.directory.person import person
from iems.directory.policy import MAX_SENDERS, with_headers
from iems.directory.reader import Alias, CatchAll, Entry, User, user_of
from iems.model.address import Address, AddressError, domain_name
from iems.model.policy import Action, Kind, Layer, MailingList, Rule, Subject
from iems.model.senders import SenderEntry, Senders
from iems.serve.deadline import Deadline
from iems.settings.read import SettingsError, Table, action, actions, join, text

_TABLES = frozenset({"domains", "users", "aliases", "lists"})
_OF_LAYER = frozenset({"headers", "policy", "senders"})
_OF_USER = frozenset(
    {"policy", "senders", "disabled", "kind", "forward", "reads", "language", "person", "bayes"}
    | {"facts"}
)


@dataclass(frozen=True, slots=True)
class TomlDirectory:
    """All of the file, in memory."""

    entries: Mapping[str, Entry]
    catch_alls: Mapping[str, CatchAll]
    layers: Mapping[str, Layer]

    @classmethod
    def load(cls, file: Path) -> TomlDirectory:
        """The directory in `file`; SettingsError tells all that is wrong with it."""
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError([f"{file}: cannot be read: {error}"]) from None
        return cls.parse(text, str(file))

    @classmethod
    def parse(cls, text: str, file: str = "directory") -> TomlDirectory:
        """The directory in this text."""
        try:
            return _Reading(file).directory(tomllib.loads(text))
        except ValueError as error:
            raise SettingsError([f"{file}: cannot be read: {error}"]) from None
        except RecursionError:
            raise SettingsError([f"{file}: tables or lists are nested too deeply"]) from None

    def find(self, addresses: Collection[Address], deadline: Deadline) -> Mapping[str, Entry]:
        """See `Directory`."""
        del deadline
        keys = (address.key for address in addresses)
        return {key: self.entries[key] for key in keys if key in self.entries}

    def find_catch_all(
        self, domains: Collection[str], deadline: Deadline
    ) -> Mapping[str, CatchAll]:
        """See `Directory`."""
        del deadline
        return {name: self.catch_alls[name] for name in domains if name in self.catch_alls}

    def domains(self, names: Collection[str], deadline: Deadline) -> Mapping[str, Layer]:
        """See `Directory`."""
        del deadline
        return {name: self.layers[name] for name in names if name in self.layers}


class _Reading:
    """One reading of a file; collects its faults."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._faults: list[str] = []

    def directory(self, table: Table) -> TomlDirectory:
        for name in table.keys() - _TABLES:
            self._fault(
                name, table[name], f"expected one of the tables {', '.join(sorted(_TABLES))}"
            )
        layers = self._domains(self._table(table, "domains"))
        entries = self._users(self._table(table, "users"), layers)
        catch_alls = self._aliases(self._table(table, "aliases"), entries, layers)
        self._lists(self._table(table, "lists"), entries)
        if self._faults:
            raise SettingsError(self._faults)
        return TomlDirectory(entries, catch_alls, layers)

    def _domains(self, table: Table) -> dict[str, Layer]:
        layers: dict[str, Layer] = {}
        for name, content in table.items():
            key = join("domains", name)
            domain = self._domain(key, name)
            if domain is not None:
                layers[domain] = self._layer(key, content, Subject(Kind.DOMAIN, domain))
        return layers

    def _users(self, table: Table, layers: Mapping[str, Layer]) -> dict[str, Entry]:
        users: dict[str, Entry] = {}
        for name, content in table.items():
            key = join("users", name)
            address = self._address(key, name)
            if address is None:
                continue
            if address.domain not in layers:
                self._fault(key, name, "expected an address in one of the domains of [domains]")
                continue
            if address.key in users:
                self._fault(
                    key, name, "expected an address that differs from all others in more than case"
                )
            users[address.key] = self._user(key, content, address, layers[address.domain])
        return users

    def _user(self, key: str, content: object, address: Address, domain: Layer) -> User | Alias:
        subject = Subject(Kind.USER, address.key)
        if not isinstance(content, Mapping) or content.keys() - _OF_USER:
            self._fault(
                key, content, f"expected a table with keys of {', '.join(sorted(_OF_USER))}"
            )
            return User(address, Layer(subject), domain)
        own = {name: value for name, value in content.items() if name in _OF_LAYER}
        disabled, kind = content.get("disabled", ""), content.get("kind", "")
        if not isinstance(disabled, str):
            self._fault(f"{key}.disabled", disabled, "expected the reason as a string")
        if kind and kind not in KINDS:
            self._fault(f"{key}.kind", kind, f"expected one of {', '.join(KINDS)}")
        if content.get("reads", POP3) != POP3:
            self._fault(f"{key}.reads", content["reads"], f"expected {POP3!r} or nothing")
        language = content.get("language", "")
        if not isinstance(language, str):
            self._fault(f"{key}.language", language, "expected a language, as in 'de'")
        bayes = content.get("bayes", "")
        if "bayes" in content and bayes not in BAYES:
            self._fault(f"{key}.bayes", bayes, f"expected one of {', '.join(BAYES)}")
        if not isinstance(content.get("facts", False), bool):
            self._fault(f"{key}.facts", content["facts"], "expected true or false")
        told = refusal(str(disabled), str(kind))
        layer = replace(self._layer(key, own, subject), sees_junk="reads" not in content)
        about = person(self._person(f"{key}.person", content.get("person", {})), address)
        facts = content.get("facts") is True
        user = User(address, layer, domain, told, str(language), str(bayes), facts, about)
        forward = (
            self._addresses(f"{key}.forward", content["forward"]) if "forward" in content else ()
        )
        return Alias(address, forward, user) if forward and not told else user

    def _person(self, key: str, content: object) -> dict[str, str]:
        known = content if isinstance(content, Mapping) else {"": None}
        texts = {name: text for name, text in known.items() if isinstance(text, str)}
        if texts.keys() != known.keys() or texts.keys() - PERSON.keys():
            self._fault(key, content, f"expected a table of strings: {', '.join(PERSON)}")
        return texts

    def _aliases(
        self, table: Table, entries: dict[str, Entry], layers: Mapping[str, Layer]
    ) -> dict[str, CatchAll]:
        catch_alls: dict[str, CatchAll] = {}
        for name, content in table.items():
            key = join("aliases", name)
            if not isinstance(content, list) or not content:
                self._fault(key, content, "expected a list of addresses that is not empty")
                continue
            if name.startswith("@"):
                domain = self._domain(key, name[1:])
                if domain is not None:
                    catch_alls[domain] = self._catch_all(key, domain, content)
                continue
            targets = self._addresses(key, content)
            address = self._address(key, name)
            if address is not None:
                present = entries.get(address.key)
                forward = present.targets if isinstance(present, Alias) else ()
                both = tuple(dict.fromkeys((*targets, *forward)))
                above = layers.get(address.domain, Layer(Subject(Kind.DOMAIN, address.domain)))
                own = MailingList(Layer(Subject(Kind.LIST, address.key)), above)
                entries[address.key] = Alias(address, both, user_of(present), own)
        return catch_alls

    def _lists(self, table: Table, entries: dict[str, Entry]) -> None:
        """What aliases say as lists of mail to them."""
        for name, content in table.items():
            key = join("lists", name)
            address = self._address(key, name)
            entry = entries.get(address.key) if address else None
            if not isinstance(entry, Alias) or entry.mailing_list is None:
                self._fault(key, name, "expected the address of an alias of [aliases]")
                continue
            own = entry.mailing_list
            layer = self._layer(key, content, own.layer.subject)
            entries[entry.address.key] = replace(entry, mailing_list=replace(own, layer=layer))

    def _catch_all(self, key: str, domain: str, content: Sequence[object]) -> CatchAll:
        first = content[0]
        if isinstance(first, str) and first.startswith("@") and len(content) == 1:
            return CatchAll(domain, (), self._domain(key, first[1:]) or "")
        return CatchAll(domain, self._addresses(key, content))

    def _addresses(self, key: str, content: object) -> tuple[Address, ...]:
        if not isinstance(content, list) or not content:
            self._fault(key, content, "expected a list of addresses that is not empty")
            return ()
        found = [self._address(key, one) for one in content]
        return tuple(one for one in found if one is not None)

    def _layer(self, key: str, content: object, subject: Subject) -> Layer:
        if not isinstance(content, Mapping) or content.keys() - _OF_LAYER:
            keys = ", ".join(sorted(_OF_LAYER))
            self._fault(key, content, f"expected a table with keys of {keys}, or an empty one")
            return Layer(subject)
        rules: dict[tuple[str, str], Rule] = {}
        policy = self._table(content, "policy", key)
        for check in policy:
            path = join(f"{key}.policy", check)
            for band, rule in self._table(policy, check, f"{key}.policy").items():
                rules[check, band] = self._rule(join(path, band), rule)
        layer = Layer(subject, rules, self._senders(f"{key}.senders", content.get("senders", [])))
        return self._headers(f"{key}.headers", content.get("headers", []), layer)

    def _headers(self, key: str, content: object, layer: Layer) -> Layer:
        if not isinstance(content, list) or not all(isinstance(one, str) for one in content):
            self._fault(key, content, "expected a list of rules about header fields")
            return layer
        values = [one.encode("utf-8") for one in content]
        return with_headers(
            layer, values, lambda told: self._faults.append(f"{self._file}: {key}: {told}")
        )

    def _senders(self, key: str, content: object) -> Senders:
        if not isinstance(content, list) or len(content) > MAX_SENDERS:
            self._fault(key, content, f"expected a list of at most {MAX_SENDERS} entries")
            return {}
        senders: dict[str, SenderEntry] = {}
        for one in content:
            try:
                entry = SenderEntry.parse(text(one))
            except ValueError as error:
                self._fault(key, one, str(error))
                continue
            if entry.pattern in senders:
                self._fault(key, one, f"expected one entry for {entry.pattern}")
            senders[entry.pattern] = entry
        return senders

    def _rule(self, key: str, content: object) -> Rule:
        if isinstance(content, str):
            return Rule(choice=self._action(key, content))
        if not isinstance(content, Mapping) or content.keys() - {"choice", "allow"}:
            self._fault(
                key, content, "expected an action or a table with the keys choice and allow"
            )
            return Rule()
        choice = self._action(key, content["choice"]) if "choice" in content else None
        if "allow" not in content:
            return Rule(choice=choice)
        try:
            allow = actions(content["allow"])
        except ValueError as error:
            self._fault(f"{key}.allow", content["allow"], str(error))
            return Rule(choice=choice)
        if choice is not None and choice not in allow:
            self._fault(
                f"{key}.choice", choice.word, "expected one of the actions of allow beside it"
            )
        return Rule(allow, choice)

    def _action(self, key: str, value: object) -> Action | None:
        try:
            return action(value)
        except ValueError as error:
            self._fault(key, value, str(error))
            return None

    def _domain(self, key: str, value: str) -> str | None:
        try:
            return domain_name(value)
        except AddressError as error:
            self._fault(key, value, f"expected a domain: {error}")
            return None

    def _address(self, key: str, value: object) -> Address | None:
        try:
            return Address.parse(text(value))
        except ValueError as error:
            told = f"an address: {error}" if isinstance(error, AddressError) else "an address"
            self._fault(key, value, f"expected {told}")
            return None

    def _table(self, table: Table, name: str, parent: str = "") -> Table:
        content = table.get(name, {})
        if isinstance(content, Mapping):
            return content
        self._fault(join(parent, name), content, "expected a table")
        return {}

    def _fault(self, key: str, value: object, told: str) -> None:
        self._faults.append(f"{self._file}: {key} is {value!r}; {told}")
