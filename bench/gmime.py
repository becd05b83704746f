"""GMime, a parser of messages in C, in this process.

Its answers are not looked at: here only the time counts that it takes.
"""

from __future__ import annotations

from ctypes import CDLL, c_char_p, c_size_t, c_void_p


class Gmime:
    """The library; OSError where the package libgmime-3.0-0 is not installed."""

    def __init__(self) -> None:
        self._library = CDLL("libgmime-3.0.so.0")
        self._objects = CDLL("libgobject-2.0.so.0")
        for name in (
            "g_mime_stream_mem_new_with_buffer",
            "g_mime_parser_new_with_stream",
            "g_mime_parser_construct_message",
        ):
            self._library[name].restype = c_void_p
        self._library.g_mime_init()

    def parse(self, data: bytes) -> None:
        """The tree is built and thrown away."""
        gmime, size = self._library, c_size_t(len(data))
        stream = c_void_p(gmime.g_mime_stream_mem_new_with_buffer(c_char_p(data), size))
        parser = c_void_p(gmime.g_mime_parser_new_with_stream(stream))
        message = c_void_p(gmime.g_mime_parser_construct_message(parser, None))
        for one in (message, parser, stream):
            self._objects.g_object_unref(one)
