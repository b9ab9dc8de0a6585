"""A bundle: its manifest, the contract of its graphs, preprocessing, tokenizer and word lists."""
