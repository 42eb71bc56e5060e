"""What every drawing is made of: scales, marks that differ in shape, SVG elements."""
