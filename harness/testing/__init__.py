"""The conformance kit for plugin authors: a class for each kind, which a test subclasses in two lines.

The checks are functions of the modules beside: each returns one sentence that names the fault, or None; they need no
pytest.
"""

from harness.testing.adapter import AdapterKit
from harness.testing.alignment import AlignmentKit
from harness.testing.analysis import AnalysisKit
from harness.testing.corpus import CorpusKit
from harness.testing.kits import (
    ArchitectureKit,
    AttentionKit,
    FeedforwardKit,
    HeadKit,
    NormKit,
    ObjectiveKit,
    PositionKit,
)
from harness.testing.likelihood import LikelihoodKit
from harness.testing.optimizer import OptimizerKit, ScheduleKit
from harness.testing.quantizer import QuantizerKit
from harness.testing.reward import RewardKit
from harness.testing.sampler import SamplerKit
from harness.testing.suite import SuiteKit
from harness.testing.tokenizer import TokenizerKit
from harness.testing.tracker import TrackerKit

__all__ = [
    "AdapterKit",
    "AlignmentKit",
    "AnalysisKit",
    "ArchitectureKit",
    "AttentionKit",
    "CorpusKit",
    "FeedforwardKit",
    "HeadKit",
    "LikelihoodKit",
    "NormKit",
    "ObjectiveKit",
    "OptimizerKit",
    "PositionKit",
    "QuantizerKit",
    "RewardKit",
    "SamplerKit",
    "ScheduleKit",
    "SuiteKit",
    "TokenizerKit",
    "TrackerKit",
]
