"""What a paper prints of a suite: tables in the width of a column, and the figure beside them."""
