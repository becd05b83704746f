"""The client of a server that several machines share, as settings name it."""

from __future__ import annotations

from iems.settings.read import SettingsError
from iems.settings.shared import SharedSettings
from iems.store.resp import Login, Resp


def client(settings: SharedSettings) -> Resp:
    """The client; nothing is opened yet. SettingsError without a password."""
    password = _password(settings) if settings.user else ""
    return Resp(settings.server, Login(settings.user, password))


def _password(settings: SharedSettings) -> str:
    file = settings.password_file
    try:
        password = file.read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{file}: cannot be read: {error}"]) from None
    if not password:
        raise SettingsError([f"{file}: is empty; expected the password of {settings.user}"])
    return password
