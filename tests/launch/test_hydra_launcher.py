"""``hydra/launcher=local`` is a good citizen of Hydra: it passes the suite that Hydra publishes for launchers."""

import pytest
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, IntegrationTestSuite, LauncherTestSuite

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("launcher_name", "overrides"), [("local", [])])
class TestLocalLauncher(LauncherTestSuite):
    """Any task, not only ours."""


@pytest.mark.parametrize(("launcher_name", "overrides"), [("local", ["hydra.sweeper.max_batch_size=2"])])
class TestLocalLauncherInBatches(BatchedSweeperTestSuite):
    """Sweepers that launch in batches."""


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({"defaults": [{"override hydra/launcher": "local"}]}, ["-m"])],
)
class TestLocalLauncherIntegration(IntegrationTestSuite):
    """Programs of their own, started in a new process."""
