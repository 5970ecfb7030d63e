"""Data: documents to tokens, tokens to shards, shards to an endless stream of batches; `dataset.prepare` is the way in."""
