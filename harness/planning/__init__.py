"""From a composed config to what it would cost and which run it is, before anything starts."""
