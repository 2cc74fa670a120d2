"""One explorer: sliders above a picture."""
