"""What a network is for: its loss, its outputs and how well it does. Nothing else asks which."""
