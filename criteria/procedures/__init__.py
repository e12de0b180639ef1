"""How units leave a network while it trains, instead of all at once and before."""
