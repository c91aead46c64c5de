"""A whole grid on one machine; units and samples."""
