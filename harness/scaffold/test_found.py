"""An installation brings what its entry point promises: `pip install -e .` first."""

from harness.composition import run_config
from harness.help import preset_folders
from harness.plugins import load


def test_it_is_found_and_healthy() -> None:
    (plugin,) = [plugin for plugin in load().found if plugin.module == "PACKAGE"]
    assert plugin.error == ""
    assert plugin.registered == [("KIND", "mine")]


def test_its_presets_compose() -> None:
    own = [folder for folder in preset_folders() if folder.parent.name == "PACKAGE"]
    for preset in (file for folder in own for file in folder.glob("experiment/*.yaml")):
        run_config([f"experiment={preset.stem}"])
