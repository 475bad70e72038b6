"""Plain data at every limit and beyond; the paths in refusals; what digests mask."""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict, namedtuple
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import msgpack
import pytest
from tidemark.protocol import limits, values
from tidemark.protocol.values import NotPlainData, ValueTooLarge

Point = namedtuple("Point", "x y")


class Word(str):
    __slots__ = ()


class Whole(int):
    pass


class Real(float):
    pass


class Raw(bytes):
    pass


class Rows(list[Any]):
    pass


class Moon(IntEnum):
    FULL = 3


class Tide(StrEnum):
    EBB = "ebb"


class Bare(Enum):
    ONE = 1


def nested_lists(depth: int) -> Any:
    value: Any = 7
    for _ in range(depth):
        value = [value]
    return value


def nested_dicts(depth: int) -> Any:
    value: Any = 7
    for _ in range(depth):
        value = {"k": value}
    return value


PLAIN = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    0.0,
    -0.0,
    1.5,
    5e-324,
    1.7976931348623157e308,
    "",
    "gr\u00fc\u00df \U0001f30a \x00",
    b"",
    bytes(range(256)),
    [],
    {},
    {"": None, "a b": [1, {"c": b"d"}]},
    nested_lists(64),
    nested_dicts(64),
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: f"{value!r:.30}")
def test_plain_data_comes_back(value: Any) -> None:
    decoded = values.decode(values.encode(value))
    assert decoded == value
    assert type(decoded) is type(value)


def test_minus_zero_keeps_its_sign() -> None:
    assert math.copysign(1, values.decode(values.encode(-0.0))) == -1


@pytest.mark.parametrize(
    ("value", "comes_back"),
    [
        ((1, (2,)), [1, [2]]),
        (Word("w"), "w"),
        (Whole(4), 4),
        (Real(4.5), 4.5),
        (Raw(b"r"), b"r"),
        (Rows([1]), [1]),
        (Moon.FULL, 3),
        (Tide.EBB, "ebb"),
        (Point(1, 2), [1, 2]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        ({Word("k"): 1}, {"k": 1}),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_subclasses_travel_as_the_plain_kind_that_they_are(value: Any, comes_back: Any) -> None:
    decoded = values.decode(values.encode(value))
    assert decoded == comes_back
    assert type(decoded) is type(comes_back)


def test_the_order_of_a_dict_is_kept() -> None:
    assert list(values.decode(values.encode({"z": 1, "a": 2, "m": 3}))) == ["z", "a", "m"]


ADVICE = "convert it to None, bool, int, float, str, bytes, list or dict first"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**63, "v: an int must fit in 64 bits; send it as str"),
        (-(2**63) - 1, "v: an int must fit in 64 bits; send it as str"),
        (Whole(2**64), "v: an int must fit in 64 bits; send it as str"),
        (math.nan, "v: a float must be finite, not nan; send None or str"),
        ([0.0, math.inf], "v[1]: a float must be finite, not inf; send None or str"),
        ({"a": (-math.inf,)}, "v.a[0]: a float must be finite, not -inf; send None or str"),
        ("a\ud800", "v: text with a lone surrogate at 1"),
        ({"ok": {"\udfff": 1}}, "v.ok.'\\udfff': text with a lone surrogate at 0"),
        ({1: 2}, "v: a key must be str, not int (1)"),
        ({"a": [{}, {None: 2}]}, "v.a[1]: a key must be str, not NoneType (None)"),
        ({b"k": 2}, "v: a key must be str, not bytes (b'k')"),
        ({Moon.FULL: 2}, "v: a key must be str, not Moon (<Moon.FULL: 3>)"),
        ({"filters": [1, 2, {3}]}, f"v.filters[2]: set is not plain data; {ADVICE}"),
        ({"two words": {"class": {"x-y": ...}}},
         f"v.'two words'.class.'x-y': ellipsis is not plain data; {ADVICE}"),
        (bytearray(b"x"), f"v: bytearray is not plain data; {ADVICE}"),
        (memoryview(b"x"), f"v: memoryview is not plain data; {ADVICE}"),
        (1j, f"v: complex is not plain data; {ADVICE}"),
        (Bare.ONE, f"v: Bare is not plain data; {ADVICE}"),
        (MappingProxyType({}), f"v: mappingproxy is not plain data; {ADVICE}"),
        (range(3), f"v: range is not plain data; {ADVICE}"),
        (iter([1]), f"v: list_iterator is not plain data; {ADVICE}"),
        (msgpack.Timestamp(0), f"v: Timestamp is not plain data; {ADVICE}"),
    ],
    ids=lambda value: f"{value!r:.30}",
)  # fmt: skip
def test_what_is_not_plain_is_refused_with_its_path(value: Any, text: str) -> None:
    for refuse in (values.check, values.encode):
        with pytest.raises(NotPlainData) as caught:
            refuse(value, "v")
        assert str(caught.value) == text
        assert isinstance(caught.value, TypeError)
        assert f"{caught.value.path}: {caught.value.reason}" == text


def test_the_first_fault_in_reading_order_is_named() -> None:
    with pytest.raises(NotPlainData, match=r"^arguments\.a\[0\]\.b: set "):
        values.check({"a": [{"b": set()}], "c": {1: 1}}, "arguments")


@pytest.mark.parametrize("nested", [nested_lists, nested_dicts])
@pytest.mark.parametrize("depth", [65, 100, 1000, 100_000])
def test_nested_too_deep(nested: Any, depth: int) -> None:
    value = nested(depth)
    for refuse in (values.check, values.encode):
        with pytest.raises(NotPlainData, match="nested more than 64 deep; flatten it") as caught:
            refuse(value, "v")
        assert len(caught.value.path) <= 200
    while isinstance(value, (list, dict)):  # the interpreter's own deallocation is recursive
        value = value.popitem()[1] if isinstance(value, dict) else value.pop()


@pytest.mark.parametrize("prefix", [b"\x91", b"\x81\xa1k"], ids=["lists", "dicts"])
@pytest.mark.parametrize("depth", [65, 100, 1000, 1025, 100_000])
def test_bytes_nested_too_deep(prefix: bytes, depth: int) -> None:
    with pytest.raises(NotPlainData):
        values.decode(prefix * depth + b"\xc0")


def test_a_list_that_holds_itself() -> None:
    narrow: list[Any] = []
    narrow.append(narrow)
    wide: list[Any] = []
    wide.extend([wide] * 1000)
    loop: dict[str, Any] = {}
    loop["k"] = [loop]
    for value in (narrow, wide, loop):
        with pytest.raises(NotPlainData, match="nested more than 64 deep"):
            values.encode(value)


def test_a_value_that_names_one_list_again_and_again_is_too_large() -> None:
    value: list[Any] = [1]
    for _ in range(60):
        value = [value, value]  # 2**60 parts in 61 lists
    with pytest.raises(ValueTooLarge):
        values.encode(value, bytes_max=100_000)
    with pytest.raises(ValueTooLarge):
        values.encode(["x" * limits.MIB] * 100_000)


def test_sizes_at_the_limit() -> None:
    bound = limits.VALUE_BYTES_MAX
    assert len(values.encode(bytes(bound - 5))) == bound
    assert len(values.encode("x" * (bound - 5))) == bound
    for value in (bytes(bound - 4), "x" * (bound - 4), "\u00fc" * (bound // 2)):
        with pytest.raises(ValueTooLarge, match=r"^result: [0-9,]+ bytes, at most 4,194,304 are"):
            values.encode(value, "result")
    with pytest.raises(ValueTooLarge) as caught:
        values.encode("abc", bytes_max=3)
    assert (caught.value.path, caught.value.size, caught.value.limit) == ("value", 4, 3)
    assert values.encode("ab", bytes_max=3) == b"\xa2ab"
    assert values.encode([0, 0], bytes_max=3) == b"\x92\x00\x00"
    with pytest.raises(ValueTooLarge):
        values.encode([0, 0, 0], bytes_max=3)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\xc1",
        b"\x91",
        b"\x01\x01",
        b"\xa1",
        b"\xa1\xff",
        b"\xa3\xed\xa0\x80",
        b"\x81\x01\x02",
        b"\x81\xc4\x01k\x02",
        b"\x81\x90\x02",
        b"\xcf" + b"\xff" * 8,
        b"\xcb\x7f\xf8" + bytes(6),
        b"\xd4\x05x",
        b"\xc7\x00\x05",
        b"\xd6\xff" + bytes(4),
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
    ],
    ids=lambda packed: packed.hex() or "empty",
)
def test_bytes_that_are_not_plain_data(packed: bytes) -> None:
    with pytest.raises(NotPlainData) as caught:
        values.decode(packed, "result")
    assert str(caught.value).startswith("result")


def test_decode_names_the_path() -> None:
    with pytest.raises(NotPlainData, match=r"^arguments\.a\[1\]: a float must be finite"):
        values.decode(msgpack.packb({"a": [0, math.inf]}), "arguments")
    with pytest.raises(NotPlainData, match=r"^result: extension type 5 is not plain data"):
        values.decode(b"\x91\xc7\x00\x05", "result")


def test_digest_masks_addresses_and_nothing_else() -> None:
    one = values.digest(b"<Task at 0x7f3a9c0012d0> 12")
    assert len(one) == values.DIGEST_BYTES
    assert one == values.digest(b"<Task at 0x55d0c0ffee00> 12")
    assert one != values.digest(b"<Task at 0x55d0c0ffee00> 13")
    assert values.digest(b"0xdeadbee") != values.digest(b"0xdeadbef")  # 7 digits: no address
    assert values.digest(b"0xDEADBEEF") != values.digest(b"0xDEADBEE0")  # repr writes lower case
    assert values.digest(b"") == values.digest(b"")


def test_as_text() -> None:
    assert values.as_text("as it is") == "as it is"
    assert values.as_text({"a": [1, None, True, "\u00fc"]}) == '{"a": [1, null, true, "\u00fc"]}'
    assert values.as_text(b"\x00\x01") == '"AAE="'
    assert values.as_text({3}) == "{3}"
    assert values.as_text(math.nan) == "nan"
    assert values.as_text(2**64) == "18446744073709551616"
