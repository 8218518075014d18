"""News as replicas tell them to each other."""

from __future__ import annotations

import json

import pytest

from broker.wakeup import News, Wakeup, read_news

WHO = News(frozenset({"my-police", "*"}), directory_changed=True, has_withdrawn=True)


@pytest.mark.parametrize("news", [News(), WHO, News(has_withdrawn=True)])
def test_read_back(news: News) -> None:
    """What one replica tells is what another one reads."""
    assert (17, news) == read_news(news.text(17))


def test_too_many_to_name() -> None:
    """News for more agencies than a notification can name are for everyone, and still tell what changed."""
    many = News(frozenset(f"agency-with-a-long-name-{number:04}" for number in range(400)), has_withdrawn=True)

    text = many.text(5)

    assert (5, News(frozenset({"*"}), has_withdrawn=True)) == read_news(text)
    assert len(text) < 8_000


def test_together() -> None:
    """News of several commits are one."""
    assert WHO == News(frozenset({"*"}), has_withdrawn=True) | News(frozenset({"my-police"}), directory_changed=True)


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", "{}", '"x"', json.dumps({"size": "x", "for": [], "directory": 0, "withdrawn": 0})]
)
def test_other_forms(text: str) -> None:
    """What no replica of this version writes is no news."""
    with pytest.raises(ValueError):  # noqa: PT011 - json's own error is one, with a text of its own
        read_news(text)


def test_watchers() -> None:
    """A watcher is told of every commit, also of one that is for no reader."""
    wakeup, told = Wakeup(), list[News]()
    wakeup.watchers.append(told.append)

    wakeup.tell(News())
    wakeup.tell(WHO)

    assert [News(), WHO] == told
