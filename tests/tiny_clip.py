"""A small CLIP text tower with random weights and a byte-level tokenizer of few merges."""

import json
from pathlib import Path

import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.models.clip.tokenization_clip import bytes_to_unicode

MERGES = ["r e", "re d</w>", "a p", "ap p"]
"""Tokens: "red" is one, "apples" four, "umbrella" seven."""
POSITIONS, WIDTH = 18, 14


def tiny_clip(folder: Path) -> Path:
    """Write both to `folder` as transformers saves them."""
    folder.mkdir(exist_ok=True)
    letters = list(bytes_to_unicode().values())
    merged = [merge.replace(" ", "") for merge in MERGES]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *merged]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    vocab.write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
    merges.write_text("\n".join(["#version: 0.2", *MERGES]) + "\n", encoding="utf-8")
    CLIPTokenizer(str(vocab), str(merges)).save_pretrained(folder)
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=12,
        projection_dim=WIDTH,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=POSITIONS,
        bos_token_id=len(tokens) - 2,
        eos_token_id=len(tokens) - 1,
        initializer_factor=20.0,
    )
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    return folder
