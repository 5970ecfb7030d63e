"""What each kind of plugin promises: one file per kind, its Config base and its protocol. Free of torch at run time."""
