"""How the pruned network is finetuned, where that is more than training it."""
