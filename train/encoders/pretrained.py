"""Pretrained weights through transformers: from a folder or the hub, and strictly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.utils import logging

Net = TypeVar("Net", bound=PreTrainedModel)


def read_config(source: str | Path) -> PretrainedConfig:
    """`config.json` of a folder or a hub name.

    Raises:
        OSError: from transformers, when the files or the hub cannot be reached.
    """
    return AutoConfig.from_pretrained(str(source))


def load_strictly(
    model_class: type[Net], source: str | Path, unused: Callable[[str], bool], **options: Any
) -> Net:
    """A model in which every weight comes from the files; `unused(name)` marks what is dropped.

    Raises:
        ValueError: weights missing from the files, which would stay random.
        OSError: from transformers, when the files or the hub cannot be reached.
    """
    logging.disable_progress_bar()  # local files load in a blink; bars belong to long work
    net: Net
    net, info = model_class.from_pretrained(
        str(source), output_loading_info=True, use_safetensors=True, **options
    )
    missing = [key for key in info["missing_keys"] if not unused(key)]
    if missing:
        raise ValueError(
            f"{source}: {len(missing)} weights are not in the files and would stay random "
            f"(first: {missing[0]}); expected a complete encoder checkpoint"
        )
    return net
