"""A freeze and a load that is about to commit: whoever has frozen a client may rely on it."""

from __future__ import annotations

import threading

import psycopg
import pytest

from etl_lib.config.project import Project
from etl_lib.errors import Paused
from etl_lib.load.tables import migrate_if_needed
from etl_lib.metrics.freezes import freeze, freezes, must_not_be_frozen_now, unfreeze


@pytest.fixture
def url(database_url: str) -> str:
    migrate_if_needed(database_url, Project.load().entities)
    return database_url


def test_a_freeze_waits_for_a_load_that_commits_and_stops_every_later_one(url: str) -> None:
    with psycopg.connect(url) as load:
        must_not_be_frozen_now(load, "ashford", until_commit=True)
        other = threading.Thread(target=freeze, args=(url, "ashford", "ana", "Wrong export."))
        other.start()
        assert freeze(url, "metro", "ana", "Another client waits for nobody.")
        other.join(0.3)
        assert other.is_alive() and set(freezes(url)) == {"metro"}
        load.commit()
        other.join(10)
    assert set(freezes(url)) == {"ashford", "metro"}
    with psycopg.connect(url) as load, pytest.raises(Paused) as refused:
        must_not_be_frozen_now(load, "ashford", until_commit=True)
    assert "frozen by ana on" in str(refused.value) and "Wrong export." in str(refused.value)


def test_who_ends_a_freeze_ends_the_one_that_he_has_seen(url: str) -> None:
    assert freeze(url, "ashford", "ana", "Wrong export")
    seen = freezes(url)["ashford"].mark
    assert not freeze(url, "ashford", "ben", "Once more")
    assert unfreeze(url, "ashford", seen, "ana", "")
    assert freeze(url, "ashford", "ben", "Another reason")
    assert not unfreeze(url, "ashford", seen, "ana", "")
    assert freezes(url)["ashford"].frozen_by == "ben"
    with psycopg.connect(url) as connection:
        acts = connection.execute("SELECT kind, by, text FROM etl.act ORDER BY act_seq").fetchall()
    assert acts == [
        ("freeze", "ana", "Wrong export"), ("unfreeze", "ana", ""), ("freeze", "ben", "Another reason"),
    ]  # fmt: skip
