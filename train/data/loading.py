"""Batches made ahead by processes of their own, while the network trains."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence

import cv2
from torch.utils.data import DataLoader, Dataset

from train.data.dataset import Batch, BatchMaker
from train.data.samples import Photo


class _Pass(Dataset[Batch]):
    def __init__(self, maker: BatchMaker, batches: Sequence[Sequence[Photo]], epoch: int) -> None:
        self._maker, self._batches, self._epoch = maker, batches, epoch

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        return self._maker.batch(self._batches[index], self._epoch)


def made_ahead(
    maker: BatchMaker, batches: Sequence[Sequence[Photo]], epoch: int, workers: int
) -> Iterable[Batch]:
    """A batch of each group of photos, in their order, the same with any number of workers.

    Args:
        workers: processes that read, join and change photos, two batches ahead each; 0 = this one.
    """
    return DataLoader(
        _Pass(maker, batches, epoch),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_begin if workers else None,
        # A fork would take along the locks of threads that compute here.
        multiprocessing_context="forkserver" if workers else None,
    )


def _begin(_: int) -> None:
    # Ctrl-C goes to the whole group: the run that trains ends its workers when its state is saved.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)  # as many processes as there are cores are enough
