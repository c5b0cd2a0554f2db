"""Settings and cards of the networks, one module per network, read without PyTorch."""
