"""The phasing network: model, training data, losses, training, transfer, weights."""
