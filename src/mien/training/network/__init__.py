"""Networks: EfficientNets with two heads, and where their weights come from."""
