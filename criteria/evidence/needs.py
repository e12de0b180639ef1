"""What a criterion may ask for."""

from enum import Flag, auto


class Need(Flag):
    """Evidence that a criterion asks for when it registers."""

    WEIGHTS = 0  # observed once
    GRADIENTS = auto()  # of the mean loss of each batch
    SAMPLES = auto()  # of each sample's own loss, times weights, per block
    SQUARES = auto()  # of each sample's own loss, squared, per weight
    CURVATURE = auto()  # Hessian-vector products
    ACTIVATIONS = auto()  # what goes into layers and comes out of them
    ACTIVATION_GRADIENTS = auto()  # of each sample's own loss


BACKWARD = Need.GRADIENTS | Need.SAMPLES | Need.SQUARES | Need.ACTIVATION_GRADIENTS
DATA = BACKWARD | Need.CURVATURE | Need.ACTIVATIONS
