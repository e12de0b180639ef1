"""What a network is to a criterion: groups of coupled channels, their members and units."""
