"""What a zygote knows and its workers do not."""

from __future__ import annotations

import os

import pytest
from tidemark.worker.vault import CHUNK_SECRETS, Vault


def test_secrets_are_kept_by_their_places() -> None:
    vault = Vault()
    secrets = [number.to_bytes(16, "big") for number in range(1, 2 * CHUNK_SECRETS)]
    places = [vault.keep(secret) for secret in secrets]
    assert len(set(places)) == len(secrets)
    assert [vault.read(place) for place in places] == secrets
    vault.forget(places[5])
    assert vault.read(places[5]) == bytes(16)
    assert vault.keep(b"x" * 16) == places[5]
    with pytest.raises(ValueError, match="a secret of 3 bytes"):
        vault.keep(b"abc")


def test_a_forked_child_finds_nothing() -> None:
    vault = Vault()
    place = vault.keep(b"a token of others"[:16])
    heard, told = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(told, vault.read(place))
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(heard, 100) == bytes(16)
    assert vault.read(place) == b"a token of other"
    os.close(heard)
    os.close(told)
