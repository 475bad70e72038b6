"""A cell's output: text, print, images, and the files that stand for stdout and stderr."""

from __future__ import annotations

import io
import threading
from binascii import b2a_base64
from collections.abc import Callable
from typing import Any, Final, NoReturn

from ..protocol import limits, values
from ..protocol.packed import OutputKind
from ..protocol.weights import text_bytes
from ..protocol.worker_messages import Emitted, Notified
from .link import Link
from .own_work import OwnWork
from .plain import end_by_limit

PARTIAL_BYTES_MAX: Final = limits.FLUSH_BYTES
IMAGE_KINDS: Final = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)


def printable(text: str) -> str:
    """The text without lone surrogates, which no encoding has a place for."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


class Output:
    """What a cell puts out, in order; any thread may.

    Text that does not end a line is kept back until it does, or until anything else is said.
    """

    def __init__(self, link: Link, own: OwnWork, bytes_max: int | None) -> None:
        """`bytes_max` bounds the sum of all items."""
        self._link = link
        self._own = own
        self._bytes_max = min(
            bytes_max or limits.CELL_OUTPUT_BYTES_MAX, limits.CELL_OUTPUT_BYTES_MAX
        )
        self._bytes = 0
        self._main = threading.get_ident()
        self._lock = threading.RLock()
        self._partial: list[str] = []
        self._partial_size = 0

    def text(self, *items: object) -> None:
        """Put out the values, joined by spaces. Plain data that is no string is shown as JSON."""
        self.flush_partial()
        self._emit_text(" ".join([values.as_text(item) for item in items]))

    def write(self, text: str) -> None:
        """Put out text as a terminal would: up to the last end of line, the rest later."""
        if self._link.is_copy:
            return  # nobody hears it, and a thread that is not there may hold the lock
        with self._lock:
            self._partial.append(text)
            self._partial_size += len(text)
            if "\n" not in text and self._partial_size < PARTIAL_BYTES_MAX:
                return
            whole = "".join(self._partial)
            cut = whole.rfind("\n") + 1 or len(whole)
            self._partial = [whole[cut:]] if cut < len(whole) else []
            self._partial_size = len(whole) - cut
            self._emit_text(whole[:cut])

    def flush_partial(self) -> None:
        """Put out what was kept back."""
        if self._partial_size and not self._link.is_copy:
            with self._lock:
                whole = "".join(self._partial)
                self._partial, self._partial_size = [], 0
                if whole:
                    self._emit_text(whole)

    def image(self, value: object, detail: str | None = None) -> None:
        """Put out an image: a data URI, bytes, or an object with `_repr_png_` or `savefig`.

        Raises:
            ValueError: a remote URL, or bytes that are no PNG, JPEG, GIF or WebP.
            TypeError: anything else.
        """
        if detail is not None and not isinstance(detail, str):
            raise TypeError(f"detail must be str or None, not {type(detail).__name__}")
        if detail is not None and text_bytes(detail) > limits.NAME_BYTES_MAX:
            raise ValueError(f"detail must have at most {limits.NAME_BYTES_MAX} bytes")
        uri = printable(image_uri(value))
        self.flush_partial()
        self._emit(OutputKind.IMAGE, uri, None if detail is None else printable(detail))

    def notify(self, message: object) -> None:
        """Send a message to the holder now, beside the output. At least once; not awaited."""
        text = printable(values.as_text(message))
        size = text_bytes(text)
        if size > limits.NOTIFICATION_BYTES_MAX:
            self._end("notification_bytes", limits.NOTIFICATION_BYTES_MAX, size)
        self.flush_partial()
        self.seen_from_thread("a notification from another thread")
        self._link.say(Notified(text, values.digest(text.encode()), self._own.step_line()))
        self._link.flush()

    def seen_from_thread(self, why: str) -> None:
        """Flag the cell if this is not its main thread."""
        if threading.get_ident() != self._main:
            self._own.flag(why)

    def _emit_text(self, text: str) -> None:
        self._emit(OutputKind.TEXT, printable(text), None)

    def _emit(self, kind: OutputKind, content: str, detail: str | None) -> None:
        if self._link.is_copy:
            return
        size = text_bytes(content)
        if size > limits.OUTPUT_ITEM_BYTES_MAX:
            self._end("output_item_bytes", limits.OUTPUT_ITEM_BYTES_MAX, size)
        with self._lock:
            self._bytes += size
            if self._bytes > self._bytes_max:
                self._end("output_bytes", self._bytes_max, self._bytes)
            self.seen_from_thread("output from another thread")
            digest = values.digest(content.encode())
            self._link.say(Emitted(kind, content, detail, digest, self._own.step_line()))

    def _end(self, limit: str, value: int, used: int) -> NoReturn:
        end_by_limit(self._link, limit, value, used)


def image_uri(value: object) -> str:
    """The data URI of an image, however it was given."""
    if isinstance(value, str):
        if value.startswith("data:image/"):
            return value
        raise ValueError(
            f"image() takes a data URI (data:image/...), not {value[:40]!r}: fetch remote images"
            " and read files first, and give the bytes"
        )
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _uri(bytes(value))
    if callable(show := getattr(value, "_repr_png_", None)):
        return _uri(bytes(_shown(show)))
    if callable(save := getattr(value, "savefig", None)):
        file = io.BytesIO()
        save(file, format="png")
        return _uri(file.getvalue())
    raise TypeError(
        f"image() takes a data URI, bytes, or an object with _repr_png_ or savefig,"
        f" not {type(value).__name__}"
    )


def _shown(show: Callable[[], Any]) -> Any:
    content = show()
    return content[0] if isinstance(content, tuple) else content  # IPython allows (data, metadata)


def _uri(content: bytes) -> str:
    kind = next((name for head, name in IMAGE_KINDS if content.startswith(head)), None)
    if kind is None and content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "webp"
    if kind is None:
        raise ValueError("image() takes bytes of a PNG, JPEG, GIF or WebP; these are of none")
    return f"data:image/{kind};base64,{b2a_base64(content, newline=False).decode('ascii')}"


class OutputFile(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` of a cell."""

    def __init__(self, output: Output, name: str) -> None:
        self._output = output
        self.name = name
        self.mode = "w"
        self.buffer = OutputBytes(output)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Always UTF-8; lone surrogates are replaced."""
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """How what cannot be encoded is treated."""
        return "replace"

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """Put out text, line by line."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._output.write(text)
        return len(text)

    def flush(self) -> None:
        """Put out an unfinished line."""
        self._output.flush_partial()


class OutputBytes(io.RawIOBase):
    """The `buffer` of an output file: bytes of UTF-8."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, content: Any) -> int:
        """Put out bytes as text."""
        whole = bytes(content)
        self._output.write(whole.decode("utf-8", "replace"))
        return len(whole)

    def flush(self) -> None:
        """Put out an unfinished line."""
        self._output.flush_partial()
