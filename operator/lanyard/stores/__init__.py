"""One file per credential store, and the encrypted cache in front of them."""
