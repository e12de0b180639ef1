"""The words of what is to be read with care, by what is wrong and with what."""

from ..words import Words

caution = Words("warnings.yaml")
