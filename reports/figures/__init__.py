"""One module a figure: `drawn` makes the frame of exactly what is drawn, `draw` the picture.

Nothing here is imported with `reports`; matplotlib loads when a report is built.
"""
