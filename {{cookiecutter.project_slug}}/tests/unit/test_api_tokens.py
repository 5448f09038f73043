"""Tokens and the entries that stand for them."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from service.api.keyring import Keyring
from service.api.tokens import OWN, MalformedEntries, digest, mint, read
from service.cli.jobs import OPERATOR
from service.jobs.submit import INTERNAL

HASH = digest("secret")


def test_a_minted_token_is_found_by_its_entry() -> None:
    """What mint makes fits together, and the entry does not hold the token."""
    token, entry = mint("shop", ["jobs:write", "jobs:read"], name="2026", expires=date(2999, 1, 1))
    assert token not in entry
    found = Keyring(entry).find(token)
    assert found is not None
    assert (found.client, found.name, found.last_day) == ("shop", "2026", date(2999, 1, 1))
    assert found.scopes == {"jobs:read", "jobs:write"}


def test_two_tokens_differ() -> None:
    """No token is made twice."""
    assert mint("shop", ["jobs:read"])[0] != mint("shop", ["jobs:read"])[0]


@pytest.mark.parametrize("text", ["", " \n", ",,\n"])
def test_nothing_is_no_entry(text: str) -> None:
    """Blank text holds no entry, and no token opens it."""
    assert not Keyring(text).entries()
    assert Keyring(text).find("") is None


def test_entries_are_separated_by_commas_or_newlines() -> None:
    """Both separators may be mixed, with blanks around them."""
    others = [digest(str(number)) for number in range(3)]
    text = f"a/jobs:read/{others[0]}, b/jobs:read/{others[1]}\r\n\nc/jobs:admin/{others[2]}/ci\n"
    assert [entry.client for entry in read(text)[0]] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "entry",
    [
        "shop",
        f"shop/{HASH}",
        f"/jobs:read/{HASH}",
        f"sh op/jobs:read/{HASH}",
        f"shop//{HASH}",
        f"shop/jobs:reed/{HASH}",
        f"shop/jobs:read+/{HASH}",
        "shop/jobs:read/secret",
        f"shop/jobs:read/{HASH[:-1]}",
        f"shop/jobs:read/{HASH.upper()}",
        f"shop/jobs:read/{HASH}/n/2026-13-01",
        f"shop/jobs:read/{HASH}/n/20260101",
        f"shop/jobs:read/{HASH}/n/2026-01-01/more",
    ],
)
def test_a_malformed_entry_is_named_by_its_position(entry: str) -> None:
    """The message says which entry is wrong and repeats nothing of it."""
    with pytest.raises(MalformedEntries) as error:
        Keyring(f"shop/jobs:read/{digest('other')},{entry}")
    assert str(error.value).startswith("API_TOKENS: entry 2: expected ")
    assert "secret" not in str(error.value)
    assert HASH not in str(error.value)


def test_one_token_has_one_owner() -> None:
    """The same hash twice is refused: whose token would it be?"""
    with pytest.raises(MalformedEntries, match="entry 2"):
        Keyring(f"shop/jobs:read/{HASH},crm/jobs:read/{HASH}")


@pytest.mark.parametrize(("days", "good"), [(-1, False), (0, True), (1, True)])
def test_a_token_is_good_until_the_end_of_its_last_day(days: int, good: bool) -> None:
    """The last day is in UTC, and the token still opens on it."""
    token, entry = mint("shop", ["jobs:read"], expires=datetime.now(UTC).date() + timedelta(days=days))
    assert (Keyring(entry).find(token) is not None) is good


def test_a_pipe_is_no_file_of_entries(tmp_path: Path) -> None:
    """It is read with each request, which would wait for whoever writes."""
    os.mkfifo(path := tmp_path / "tokens")
    with pytest.raises(MalformedEntries, match="API_TOKENS_FILE: expected a file of entries, got: none"):
        Keyring(path=path)


def test_a_file_adds_to_what_is_given(tmp_path: Path) -> None:
    """Entries of the environment and of the file are both in force."""
    (one, given), (other, filed) = mint("shop", ["jobs:read"]), mint("crm", ["jobs:read"])
    path = tmp_path / "tokens"
    path.write_text(filed)
    keyring = Keyring(given, path)
    assert keyring.find(one)
    assert keyring.find(other)


@pytest.mark.parametrize("client", ["", "a/b", "a,b", "a\nb", "x" * 65])
def test_mint_refuses_what_could_not_be_read_again(client: str) -> None:
    """A client's name cannot break out of its entry."""
    with pytest.raises(MalformedEntries):
        mint(client, ["jobs:read"])


@pytest.mark.parametrize("client", OWN)
def test_the_service_keeps_some_names_for_itself(client: str) -> None:
    """A client called beat could take the keys of the schedule's runs before beat does."""
    with pytest.raises(MalformedEntries, match="expected another client than beat, deploy, internal, operator"):
        mint(client, ["jobs:read"])
    with pytest.raises(MalformedEntries, match="entry 1: expected another client"):
        Keyring(f"{client}/jobs:read/{HASH}")
    assert {INTERNAL, OPERATOR} < set(OWN)
