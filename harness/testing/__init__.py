"""The conformance kit for plugin authors: a class for each kind, which a test subclasses in two lines.

The checks are functions of the modules beside: each takes a Config and returns one sentence that names the fault, or
None; they need no pytest.
"""

from harness.testing.kits import ArchitectureKit, AttentionKit, FeedforwardKit, HeadKit, NormKit, PositionKit

__all__ = [
    "ArchitectureKit",
    "AttentionKit",
    "FeedforwardKit",
    "HeadKit",
    "NormKit",
    "PositionKit",
]
