"""A plugin-based experiment and benchmark harness for language models."""

import pluggy

__version__ = "0.1.0"

#: The version of the plugin interface. A plugin states the one it was written for as
#: ``HARNESS_INTERFACE``; a plugin written for a newer one is not loaded.
INTERFACE = 1

hookimpl = pluggy.HookimplMarker("harness")
