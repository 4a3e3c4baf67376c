"""Phase retrieval: training set, network, transfer, iterative engine, metrics."""
