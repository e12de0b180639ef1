"""What a criterion may see of a network: its gradients, samples, curvature."""
