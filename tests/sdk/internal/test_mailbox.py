"""The mailbox between two threads: the newest items, or all of them in order."""

from concurrent.futures import ThreadPoolExecutor
from queue import Empty, Full

import pytest

from sdk._internal.mailbox import Mailbox
from tests.waiting import WAIT


def test_a_mailbox_that_keeps_the_newest() -> None:
    box: Mailbox[int] = Mailbox(2, newest=True)
    assert all(box.put(item) for item in range(5))
    assert box.dropped == 3
    box.close(ValueError("end"))
    assert [next(box), next(box)] == [3, 4]
    with pytest.raises(ValueError, match="end"):
        next(box)
    assert list(box) == []
    box.stop()
    assert not box.put(6)


def test_a_mailbox_is_waited_for_only_so_long() -> None:
    box: Mailbox[int] = Mailbox(1, newest=True)
    for timeout in (0, 0.01):
        with pytest.raises(Empty):
            box.get(timeout)
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(box.get, WAIT)
        box.put(1)
        assert got.result(WAIT) == 1
    box.close()
    with pytest.raises(StopIteration):
        box.get(0)


def test_a_mailbox_that_keeps_all_holds_up_whoever_puts() -> None:
    box: Mailbox[int] = Mailbox(2, newest=False)
    put: list[int] = []

    def fill() -> None:
        for item in range(50):
            box.put(item)
            put.append(item)
        box.close()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(fill)
        for expected, item in enumerate(box):
            assert item == expected
            assert len(put) <= expected + 3  # this one, two in the box
        done.result(WAIT)
    assert put == list(range(50))


def test_a_mailbox_that_is_full_for_whoever_may_not_wait() -> None:
    box: Mailbox[int] = Mailbox(2, newest=False)
    assert [box.put(item, wait=False) for item in range(2)] == [True, True]
    with pytest.raises(Full):
        box.put(2, wait=False)
    box.close()
    assert list(box) == [0, 1]
    assert box.dropped == 0
