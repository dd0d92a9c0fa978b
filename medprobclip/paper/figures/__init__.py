"""Tables -> pictures -> figures/README.md."""
