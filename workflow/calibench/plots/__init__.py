"""Drawing: frames and arrays in, figures and printed tables out."""
