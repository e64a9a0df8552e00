"""Analysis: many runs together: grids, tables, comparisons, forecasts, selectors."""
