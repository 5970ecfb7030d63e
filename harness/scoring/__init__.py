"""checkpoint → lm-eval → scores.

`model` is the live module as lm-eval sees it, `evaluate` asks a suite's tasks of one model after another,
`score` writes the rows and the samples into run directories.
"""
