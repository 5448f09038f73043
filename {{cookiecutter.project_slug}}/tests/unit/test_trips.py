"""What is patched of kombu is patched where its inside is known."""

import kombu
import pytest
from kombu.transport.redis import Channel, QoS

from service.broker import trips


def test_another_release_of_kombu_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Channel, "QoS", QoS)
    monkeypatch.setattr(kombu, "VERSION", kombu.version_info_t(5, 8, 0, "", ""))
    trips.apply()
    assert Channel.QoS is QoS
    monkeypatch.undo()
    assert kombu.VERSION[:2] == trips.KNOWN
