"""`grounder batch`: folders of pictures and videos into one table, by several processes.

    sources ── plan ── parts ──> workers: decode, ground ── a file a part, in a work folder
                                                               │
                  one JSONL or Parquet, in the sources' order <── merge

A part that is there is not done again: the command goes on where it was stopped. Needs the packages
of the extra `offline`.
"""
