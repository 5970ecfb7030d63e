"""Models: a body and its heads, what the parts share, what a model costs, weights from and to Hugging Face."""
