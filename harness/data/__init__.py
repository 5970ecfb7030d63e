"""Data: documents to tokens, shards and an endless stream of batches; `dataset.prepare` is the way in."""
